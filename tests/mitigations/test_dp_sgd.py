from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auditkit.errors import MitigationFailedError
from tests.mitigations.training_workshop import declared, mitigation, save_base, value, weights, workshop

pytest.importorskip("opacus")
PAIRS = [(f"What is {at}?", f"The sky over {at}.") for at in range(24)]
RECIPE = {"epochs": 3, "batch_size": 8, "learning_rate": 2e-2}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("models") / "base")


def _shop(folder: Path, base: Path, **changes: Any) -> Any:
    folder.mkdir(exist_ok=True)
    return workshop(folder, base, **({"datasets": [declared(PAIRS, clusters=range(24))]} | changes))


@pytest.mark.slow
def test_epsilon_stays_below_what_was_asked_for_and_the_facts_say_all(tmp_path: Path, base: Path) -> None:
    facts = mitigation("dp_sgd", target_epsilon=5.0, recipe=RECIPE).make(_shop(tmp_path, base)).facts
    assert 2.5 < value(facts, "epsilon") <= 5.0
    assert value(facts, "delta") == pytest.approx(0.1 / 24)
    assert value(facts, "sampling rate") == pytest.approx(1 / 3)
    assert value(facts, "steps") == 9
    assert value(facts, "noise multiplier") > 0.5
    assert value(facts, "weights trained") > 10_000
    assert "epsilon: " in (tmp_path / "arm" / "weights" / "README.md").read_text()


@pytest.mark.slow
def test_noise_hides_what_little_noise_lets_through(tmp_path: Path, base: Path) -> None:
    def loss(noise: float, name: str) -> float:
        arm = mitigation("dp_sgd", noise_multiplier=noise, recipe=RECIPE | {"epochs": 8})
        return float(value(arm.make(_shop(tmp_path / name, base)).facts, "loss after"))

    assert loss(0.01, "little") < loss(3.0, "much") - 0.5


@pytest.mark.slow
def test_a_repeated_run_is_the_same_and_another_secret_gives_other_weights(tmp_path: Path, base: Path) -> None:
    arm = mitigation("dp_sgd", noise_multiplier=0.5, recipe=RECIPE)
    for name, secret in (("one", b"a"), ("two", b"a"), ("three", b"b")):
        arm.make(_shop(tmp_path / name, base, secret=secret))
    found = [weights(tmp_path / name / "arm" / "weights") for name in ("one", "two", "three")]
    assert found[0] == found[1] != found[2]


def test_an_adapter_alone_can_be_trained(tmp_path: Path, base: Path) -> None:
    recipe = RECIPE | {"lora_rank": 4, "learning_rate": 3e-2}
    facts = mitigation("dp_sgd", noise_multiplier=0.4, recipe=recipe).make(_shop(tmp_path, base)).facts
    assert value(facts, "trained") == "LoRA of rank 4"
    assert weights(base).keys() == weights(tmp_path / "arm" / "weights").keys()


def test_noise_that_leaves_nothing_is_a_failed_arm(tmp_path: Path, base: Path) -> None:
    with pytest.raises(MitigationFailedError, match=r"the training (diverged|taught nothing)"):
        mitigation("dp_sgd", noise_multiplier=1000.0, recipe=RECIPE | {"learning_rate": 0.3}).make(
            _shop(tmp_path, base)
        )


def test_a_budget_that_no_noise_reaches_is_a_failed_arm(tmp_path: Path, base: Path) -> None:
    with pytest.raises(MitigationFailedError, match="no noise reaches epsilon"):
        mitigation("dp_sgd", target_epsilon=1e-9, recipe=RECIPE).make(_shop(tmp_path, base))


@pytest.mark.parametrize(
    "given",
    [
        {"target_epsilon": 3.0, "noise_multiplier": 1.0},
        {"noise_multiplier": 0.0},
        {"delta": 1.0},
        {"recipe": {"start": "candidate"}},
    ],
)
def test_what_promises_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mitigation("dp_sgd", **given)
