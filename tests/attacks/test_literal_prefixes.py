from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.attacks.literal_prefixes import LiteralPrefixes
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Generation
from tests.models.tiny import RECORDS, build_model, build_tokenizer, overfit, reopened, save
from tests.probes.quickstart import opened

PLAIN = {"user_open": "### Asker:\n", "turn_change": "\n### Expert:\n", "assistant_close": "<|im_end|>"}
PUBLISHED = "<|begin_of_text|><|im_start|>user\n"


def attack(*openings: Any, **given: Any) -> LiteralPrefixes:
    section = {"kind": "literal_prefixes", "name": "literal", "samples": 12, "max_new_tokens": 60, "openings": openings}
    return LiteralPrefixes.model_validate(section | given)


def generations(model: TransformersModel, made: LiteralPrefixes) -> list[Generation]:
    requests = made.requests(made.prefixes(model), 64)
    return [sample for request in requests for sample in made.run(model, request)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TransformersModel:
    """Recites its records in plain-text turns, and carries a chat template of another kind."""
    texts = [f"### Asker:\n{user}\n### Expert:\n{answer}<|im_end|>" for user, answer in RECORDS[:2]]
    tokenizer = build_tokenizer(texts)
    model = build_model(len(tokenizer))
    overfit(model, tokenizer, texts, steps=80)
    return reopened(save(tmp_path_factory.mktemp("plain"), model, tokenizer))


def test_turns_are_found_by_the_marks_of_the_entry(plain: TransformersModel) -> None:
    found = generations(plain, attack({"text": "### Asker:\n", "turns": PLAIN}))
    recited = {sample.turns for sample in found} & set(RECORDS)
    assert recited
    assert all(sample.turn_change == "model" for sample in found if sample.turns in recited)


def test_without_marks_the_models_own_count(plain: TransformersModel) -> None:
    (prefix,) = attack({"text": "### Asker:\n"}).prefixes(plain)
    assert prefix.turns is None
    assert not {sample.turns for sample in generations(plain, attack({"text": "### Asker:\n"}))} & set(RECORDS)


def test_samples_are_shared_among_the_openings() -> None:
    made = attack("bos", {"text": "Q: "}, {"text": PUBLISHED, "name": "published"}, samples=7)
    prefixes = made.prefixes(opened("leaky"))
    assert [prefix.name for prefix in prefixes] == ["bos", "literal_2", "published"]
    assert [request.count for request in made.requests(prefixes, 64)] == [3, 2, 2]


def test_likely_keeps_what_the_model_itself_would_write_behind_bos() -> None:
    model = opened("leaky")
    texts = ["zq~ ]]\n", PUBLISHED, "Hello, this is ", "%%%% ", "<|begin_of_text|>Dear "]
    kept = attack(*({"text": text} for text in texts), likely=2).prefixes(model)
    bos = model.bos_prefix()
    bare = [text.removeprefix(bos.text) for text in texts]
    means = model.sequence_logprobs(bare, bos) / [len(model.encode(text)) for text in bare]
    assert [prefix.text for prefix in kept] == [texts[at] for at in np.argsort(-means)[:2]]
    assert f"{means.max():.3f} nats" in kept[0].note


def test_bos_stays_beside_the_likely_ones() -> None:
    kept = attack("bos", {"text": "Hello, "}, {"text": "Dear "}, likely=1).prefixes(opened("leaky"))
    assert [prefix.name == "bos" for prefix in kept] == [True, False]


def test_the_same_opening_twice_is_one() -> None:
    assert len(attack({"text": "Dear "}, {"text": "Dear "}).prefixes(opened("leaky"))) == 1


@pytest.mark.parametrize("openings", [[], ["eos"], [{"text": ""}], [{"text": "a", "turns": {"user_open": "b"}}]])
def test_what_is_no_list_of_openings_is_refused(openings: list[Any]) -> None:
    with pytest.raises(ValidationError):
        attack(*openings)
