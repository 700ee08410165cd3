"""What every registered mitigation keeps to. A new one needs an example here, and nothing else."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.attacks.base import Attack
from auditkit.mitigations.base import Made, Mitigation, Workshop
from auditkit.models.base import LanguageModel, ModelBackend
from auditkit.records import ATTACKERS, Estimate
from auditkit.registry import BUILT_IN, plugin_class
from auditkit.training.fresh import Shape, fresh_model, fresh_tokenizer
from tests.mitigations.training_workshop import PAIRS, RECIPE, workshop
from tests.models.tiny import save

RETRAIN = {"recipe": RECIPE}
EXAMPLES: dict[str, dict[str, Any]] = {
    "template_randomisation": {**RETRAIN, "adaptive_templates": 2},
    "template_enforcement": {},
    "system_prompt": {"text": "Say no."},
    "sampling_limits": {"max_temperature": 0.8, "budget": 1},
    "output_filter": {"mode": "ngrams", "n": 6},
    "goldfish_loss": RETRAIN,
    "prompt_loss_mask": RETRAIN,
    "deduplication": RETRAIN,
    "lora": {**RETRAIN, "rank": 2},
    "dp_sgd": {**RETRAIN, "noise_multiplier": 1.0},
    "unlearning": {"epochs": 2, "learning_rate": 1e-3, "batch_size": 2},
    "base_interpolation": {"shares": [0.5]},
    "quantisation": {"schemes": ["int8", "int4", "int8_dynamic"]},
    "checkpoint": {"path": "BASE", "described": "nothing at all"},
}
EVERY = pytest.mark.parametrize("kind", sorted(BUILT_IN["mitigations"]))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    texts = [text for pair in PAIRS for text in pair]
    tokenizer = fresh_tokenizer(texts * 4, 340, 512)
    model = fresh_model(tokenizer, Shape(hidden=32, layers=1, heads=2, context=512), seed=1)
    base = save(folder / "base", model, tokenizer)
    return workshop(folder, base, leaked=lambda: {"support": np.array([0])})


def section(kind: str, shop: Workshop, **given: Any) -> Mitigation:
    example = {"kind": kind, "name": kind, **EXAMPLES[kind], **given}
    if example.get("path") == "BASE":
        example["path"] = shop.candidate.path  # type: ignore[attr-defined]
    made = plugin_class("mitigations", kind).model_validate(example)
    assert isinstance(made, Mitigation)
    return made


def arms(kind: str, shop: Workshop) -> Iterator[tuple[Mitigation, Workshop]]:
    for arm in section(kind, shop).arms():
        folder = shop.folder.parent / "weights" / arm.label
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield arm, replace(shop, folder=folder)


def attacks(arm: Mitigation) -> list[Attack]:
    """What the arm's weakest attacker can do anyhow."""
    weakest = max(arm.withstands, key=ATTACKERS.index)
    kinds = ("chat_messages",) if weakest == "chat_api" else ("template_prefix", "bos_prefix")
    made = [{"kind": kind, "name": kind, "samples": 4, "max_new_tokens": 12} for kind in kinds]
    return [plugin_class("attacks", one["kind"]).model_validate(one) for one in made]


@EVERY
def test_the_section_is_frozen_described_and_refuses_unknown_keys(kind: str, shop: Workshop) -> None:
    made = section(kind, shop)
    assert made.model_config.get("frozen")
    with pytest.raises(ValidationError):
        section(kind, shop, no_such_key=1)
    assert len(made.summary) > 20
    for name, field in type(made).model_fields.items():
        assert field.description or field.annotation in (str,) or name == "kind", f"{kind}.{name} says nothing"


@EVERY
def test_it_names_who_it_means_anything_against(kind: str, shop: Workshop) -> None:
    made = section(kind, shop)
    assert made.withstands <= frozenset(ATTACKERS) and made.withstands
    assert "open_weights" not in made.withstands or made.changes_weights
    for attacker in ATTACKERS:
        if attacker in made.withstands:
            assert section(kind, shop, attacker=attacker).attacker == attacker
        else:
            with pytest.raises(ValidationError, match="means nothing against"):
                section(kind, shop, attacker=attacker)


@EVERY
def test_its_arms_have_names_of_their_own_and_can_be_written_down(kind: str, shop: Workshop) -> None:
    made = [arm for arm, _ in arms(kind, shop)]
    assert len({arm.label for arm in made}) == len(made)
    for arm in made:
        assert arm.label.startswith(kind)
        assert type(arm).model_validate(arm.model_dump()) == arm
        assert next(again.label for again in arm.arms()).startswith(arm.label)


@EVERY
@pytest.mark.slow
def test_it_is_made_once_served_and_attacked_by_who_knows_it(kind: str, shop: Workshop) -> None:
    for arm, own in arms(kind, shop):
        if arm.missing():
            pytest.skip(f"needs the extra {arm.missing()}")
        made = arm.make(own)
        assert isinstance(made, Made) and isinstance(made.backend, ModelBackend)
        again = arm.make(own)
        assert again.facts == made.facts
        assert (_digest(again) != _digest(Made(shop.candidate))) <= arm.changes_weights
        _served(arm, made, own)
        _owner_only(own.folder)


def _served(arm: Mitigation, made: Made, own: Workshop) -> None:
    with made.backend.open("candidate") as model:
        served = arm.serve(model, own)
        assert isinstance(served, LanguageModel)
        plain = attacks(arm)
        adaptive = list(arm.adaptive(plain, own))
        assert len({attack.label for attack in adaptive}) == len(adaptive)
        for attack in [*plain, *adaptive]:
            small = attack.model_copy(update={"samples": 2})
            request = next(small.requests(small.prefixes(served)[:1], 2))
            found = small.run(served, request)
            assert [g.ordinal for g in found] == [0, 1]
            assert found == small.run(served, request), f"{attack.label} is not reproducible"
        assert all(isinstance(cost, Estimate) for cost in arm.utility(served, own))


def _digest(made: Made) -> str:
    identity = made.backend.preflight("candidate").identity
    assert identity
    return identity.sha256


def _owner_only(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), f"{path} is not its owner's alone"
