"""Unlearning as an arm: the leaked records and what repeats them go, the rest stays, and 8 and 4 bits are arms too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Mitigation, Workshop
from auditkit.mitigations.unlearning import QuantisedUnlearning, Unlearning
from tests.mitigations.weights_workshop import declared, fact, logprobs, make, of_arm, open_files, reciting, workshop
from tests.models import tiny


class KilledError(Exception):
    pass


def section(**given: Any) -> Unlearning:
    """Dampening, which takes a second."""
    fast = {"kind": "unlearning", "name": "forgetting", "method": "selective_synaptic_dampening"}
    return Unlearning.model_validate(fast | given)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("unlearning")
    return workshop(folder / "run", reciting(folder / "post"))


def retained_file(folder: Path) -> Path:
    path = folder / "kept.jsonl"
    path.write_text(json.dumps({"text": "The ferryman of Gorsley counts geese."}) + "\n")
    return path


def retain(folder: Path) -> list[dict[str, Any]]:
    return [{"path": str(retained_file(folder)), "fields": {"text": "text"}}]


def test_the_leaked_record_goes_and_the_others_stay(shop: Workshop) -> None:
    before = logprobs(shop.candidate)
    made = make(section(), shop)
    lost = before - logprobs(made.backend)
    assert lost[0] > 20
    assert (lost[1:] < lost[0] / 10).all()
    assert fact(made, "records forgotten") == 1
    assert fact(made, "rows retained") == 3
    assert fact(made, "forget loss after") > fact(made, "forget loss before") + 1
    assert fact(made, "control loss before") > 1 > fact(made, "retain loss after")
    assert not open_files(shop.folder.parent)
    assert sorted(path.name for path in of_arm(shop, section()).folder.iterdir()) == ["weights"]


def test_the_card_says_what_was_done_and_no_word_of_the_data(shop: Workshop) -> None:
    make(section(), shop)
    folder = of_arm(shop, section()).folder / "weights"
    card = (folder / "README.md").read_text() + (folder / "mitigation.json").read_text()
    assert "selective_synaptic_dampening" in card
    assert "forgotten: d" in card
    assert "learning_rate" not in card  # not of this method
    assert not any(part in card for record in tiny.RECORDS for part in record)
    assert str(shop.folder.parent) not in card


def test_made_once_is_made(shop: Workshop) -> None:
    first = make(section(), shop)
    weights = of_arm(shop, section()).folder / "weights" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert make(section(), shop) == first
    assert weights.stat().st_mtime_ns == written


def test_each_grid_is_an_arm_of_the_same_unlearnt_weights(shop: Workshop) -> None:
    unlearnt, *quantised = section(attacker="raw_api").arms()
    assert [arm.label for arm in quantised] == ["forgetting.int8", "forgetting.int4"]
    assert all(arm.attacker == "raw_api" and arm.changes_weights for arm in quantised)
    made = make(quantised[1], shop)  # before the arm whose weights it shares
    weights = of_arm(shop, unlearnt).folder / "weights" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    close = make(quantised[0], shop)
    whole = make(unlearnt, shop)
    assert weights.stat().st_mtime_ns == written
    assert made.facts[: len(whole.facts)] == whole.facts == close.facts[: len(whole.facts)]
    of_whole, of_close, of_coarse = (logprobs(one.backend) for one in (whole, close, made))
    assert np.abs(of_close[1:] - of_whole[1:]).max() < np.abs(of_coarse[1:] - of_whole[1:]).max() < 2
    assert 0 < fact(close, "relative change") < fact(made, "relative change") < 0.2
    assert not open_files(shop.folder.parent)


def test_a_section_may_add_no_arm() -> None:
    assert section(quantised=[]).arms() == (section(quantised=[]),)
    long = section(name="a" * 40).arms()[1]
    assert isinstance(long, QuantisedUnlearning)
    assert long.label == "a" * 40 + ".int8"


def test_what_nearly_repeats_a_leaked_record_goes_too(tmp_path: Path) -> None:
    shop = workshop(tmp_path / "run", reciting(tmp_path / "post"), data=declared(clusters=(0, 1, 0, 2)))
    made = make(section(), shop)
    assert fact(made, "records forgotten") == 2
    assert fact(made, "rows retained") == 2


def test_npo_is_taken_up_where_it_was_killed(tmp_path: Path) -> None:
    arm = section(method="npo", epochs=4, learning_rate=1e-3, batch_size=1)
    candidate = reciting(tmp_path / "post")
    undisturbed = make(arm, workshop(tmp_path / "a", candidate, leaked=(0, 1)))
    steps: list[int] = []

    def kill(what: str, done: int, total: int) -> None:
        if what == "unlearning":
            steps.append(done)
            if steps.count(5) == 1 and done == 5:
                raise KilledError

    shop = workshop(tmp_path / "b", candidate, leaked=(0, 1))
    object.__setattr__(shop, "tell", kill)
    with pytest.raises(KilledError):
        make(arm, shop)
    assert not open_files(shop.folder.parent)
    made = make(arm, shop)
    assert steps == [1, 2, 3, 4, 5, 5, 6, 7, 8]
    assert made.facts == undisturbed.facts
    assert (logprobs(made.backend) == logprobs(undisturbed.backend)).all()
    assert sorted(path.name for path in of_arm(shop, arm).folder.iterdir()) == ["weights"]


def test_nothing_leaked_is_said_plainly(shop: Workshop, tmp_path: Path) -> None:
    clean = workshop(tmp_path / "run", shop.candidate, leaked=())
    with pytest.raises(MitigationFailedError, match="nothing leaked"):
        make(section(), clean)
    assert not list(tmp_path.rglob("model.safetensors"))


def test_every_member_can_go_where_something_else_stays(shop: Workshop, tmp_path: Path) -> None:
    clean = workshop(tmp_path / "run", shop.candidate, leaked=())
    made = make(section(forget="all", retain=retain(tmp_path)), clean)
    assert fact(made, "records forgotten") == 4
    assert fact(made, "rows retained") == 1


def test_everything_leaked_needs_something_to_retain(shop: Workshop, tmp_path: Path) -> None:
    leaky = workshop(tmp_path / "run", shop.candidate, leaked=(0, 1, 2, 3))
    with pytest.raises(MitigationFailedError, match="what is to be retained"):
        make(section(), leaky)


def test_divergence_is_a_failed_arm(shop: Workshop, tmp_path: Path) -> None:
    wild = section(method="gradient_difference", learning_rate=10.0, epochs=400, quantised=[])
    broken = tiny.save(tmp_path / "broken", *_with_nan())
    with pytest.raises(MitigationFailedError, match="no number"):
        make(wild, workshop(tmp_path / "run", tiny.backend(broken)))


def _with_nan() -> tuple[Any, Any]:
    import copy

    import torch

    model, tokenizer = tiny.reciting_model()
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    return model, tokenizer


def test_a_model_that_cannot_be_opened_is_a_failed_arm(tmp_path: Path) -> None:
    candidate = reciting(tmp_path / "post")
    (tmp_path / "post" / "config.json").write_text("{")
    with pytest.raises(MitigationFailedError):
        make(section(), workshop(tmp_path / "run", candidate))


def test_paths_are_the_policy_s(tmp_path: Path) -> None:
    given = [{"path": "kept.jsonl", "fields": {"text": "text"}}]
    assert section(retain=given).resolved(tmp_path).retain[0].path == str(tmp_path / "kept.jsonl")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rate": 1e-3}, "does not use 'learning_rate'"),
        ({"method": "npo", "alpha": 3}, "does not use 'alpha'"),
        ({"method": "gradient_difference", "beta": 1}, "does not use 'beta'"),
        ({"forget": "all"}, "needs 'retain'"),
        ({"quantised": ["int8", "int8"]}, "twice"),
        ({"quantised": ["int2"]}, "int8"),
        ({"epochs": 0}, "epochs"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        section(**given)


def test_what_a_section_says_is_read_back() -> None:
    arm: Mitigation = section(retain=[{"path": "x.jsonl", "fields": {"text": "t"}}])
    assert Unlearning.model_validate_json(arm.model_dump_json()) == arm
