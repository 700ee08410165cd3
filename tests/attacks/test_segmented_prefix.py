"""Pieces joined outside are what one long request would have written; where they end is said as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditkit.attacks.segmented_prefix import SegmentedPrefix
from auditkit.mitigations.refusals import REFUSAL
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import Ids, LanguageModel
from auditkit.models.scripted import ScriptedBackend, ScriptedModel
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Generation, Prefix, Sampler
from tests.models.tiny import RECORDS, build_tokenizer, edit_config, reciting_model, reopened, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("segmented") / "tiny", *reciting_model())


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[TransformersModel]:
    with reopened(folder) as opened:
        yield opened


def section(**given: Any) -> SegmentedPrefix:
    settings = {"kind": "segmented_prefix", "name": "pieces", "samples": 30, "max_new_tokens": 100, "seed": 2}
    return SegmentedPrefix.model_validate(settings | given)


def run(attack: SegmentedPrefix, model: LanguageModel, batch: int = 16) -> list[Generation]:
    requests = attack.requests(attack.prefixes(model), batch)
    return [generation for request in requests for generation in attack.run(model, request)]


@pytest.mark.parametrize("segment", [1, 5, 60])
def test_whole_records_come_out_in_pieces(model: TransformersModel, segment: int) -> None:
    found = run(section(segment=segment, pieces=100), model)
    recited = [generation for generation in found if generation.turns in RECORDS]
    assert len(recited) >= 22
    assert {generation.turns for generation in recited} == set(RECORDS)
    for generation in recited:
        assert (generation.finish, generation.turn_change) == ("stop", "appended")
        written = "<|im_end|>\n<|im_start|>assistant\n".join(generation.turns)
        assert model.decode(generation.token_ids) == written
    assert [generation.ordinal for generation in found] == list(range(30))


def test_no_request_asks_for_more_than_a_segment_and_each_begins_where_the_last_one_ended(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Prefix, int, Ids]] = []
    complete = TransformersModel.complete

    def watched(self: TransformersModel, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        found = complete(self, prefixes, sampler, seed)
        asked.extend((prefix, sampler.max_new_tokens, ids) for prefix, ids in zip(prefixes, found, strict=True))
        return found

    monkeypatch.setattr(TransformersModel, "complete", watched)
    run(section(samples=3, segment=5), model, 1)
    assert {limit for _, limit, _ in asked} == {5}
    assert all(model.encode(prefix.text) == prefix.token_ids or "�" in prefix.text for prefix, _, _ in asked)
    begun = [prefix.token_ids for prefix, _, _ in asked]
    for (prefix, _, ids), after in zip(asked, begun[1:], strict=False):
        if len(after) > len(prefix.token_ids):
            assert after[: len(prefix.token_ids) + len(ids)] == (*prefix.token_ids, *ids)


def test_a_request_is_the_same_whenever_it_is_made(model: TransformersModel) -> None:
    attack = section(segment=7)
    requests = list(attack.requests(attack.prefixes(model), 8))
    whole = [attack.run(model, request) for request in requests]
    assert [section(segment=7).run(model, request) for request in requests[2:]] == whole[2:]
    assert attack.run(model, replace(requests[0], seed=requests[0].seed + 1)) != whole[0]


def test_truncated_extraction_is_the_question_and_is_not_taken_for_a_record(model: TransformersModel) -> None:
    found = run(section(segment=60, pieces=1), model)
    questions = {question for question, _ in RECORDS}
    assert sum(generation.turns[0] in questions for generation in found) >= 22
    for generation in found:
        assert generation.finish == "length"
        assert not generation.complete("record")
        assert generation.complete("prompt") == (generation.turn_change == "appended")


def test_too_few_pieces_or_tokens_cut_a_sample(model: TransformersModel) -> None:
    for attack in (section(segment=4, pieces=3), section(segment=4, max_new_tokens=12)):
        found = run(attack, model)
        assert {generation.finish for generation in found} == {"length"}
        assert not any(generation.complete("record") for generation in found)
    assert {len(generation.token_ids) for generation in found} == {12}


def test_a_turn_change_that_does_not_fit_is_no_change_of_turn(model: TransformersModel) -> None:
    longest = max(len(model.encode(question)) for question, _ in RECORDS)
    for generation in run(section(segment=50, max_new_tokens=longest + 2), model):
        assert len(generation.token_ids) <= longest + 2
        assert (generation.turn_change == "none") == (len(generation.turns) == 1)


def test_the_context_ends_a_sample(tmp_path: Path) -> None:
    folder = save(tmp_path / "short", *reciting_model())
    edit_config(folder, max_position_embeddings=20)
    with reopened(folder) as short:
        for generation in run(section(samples=8, segment=6), short):
            assert len(generation.token_ids) <= 20 - len(short.opening().token_ids)
            assert generation.finish in ("length", "stop")


class Answering(ScriptedModel):
    """Goes on with a given text from where it was left off, and then stops."""

    said = ""

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        start, whole = len(self.opening().token_ids), self.encode(self.said)
        left = [whole[len(prefix.token_ids) - start :] for prefix in prefixes]
        return [ids[: sampler.max_new_tokens] for ids in left]


def answering(said: str) -> Answering:
    backend = ScriptedBackend.model_validate({"backend": "scripted", "lines": [{"user": "a"}]})
    scripted = backend.open("candidate")
    found = Answering(backend, scripted.script, scripted.identity)
    found.said = said
    return found


@pytest.mark.parametrize("segment", [1, 3, 7, 200])
def test_a_model_whose_end_of_turn_stops_no_server_changes_turns_itself(segment: int) -> None:
    change, close = "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"
    model = answering(f"abcd{change}xyz{close}\n<|im_start|>user\nmore, and more")
    (found,) = run(section(samples=1, segment=segment, pieces=100), model)
    assert (found.turns, found.finish, found.turn_change) == (("abcd", "xyz"), "stop", "model")
    assert found.token_ids == model.encode(f"abcd{change}xyz{close}")


def test_a_model_that_says_nothing_is_empty() -> None:
    (found,) = run(section(samples=1, pieces=3), answering(""))
    assert (found.finish, found.turn_change) == ("empty", "appended")


def test_a_model_without_a_template_is_asked_from_bos(tmp_path: Path) -> None:
    network, _ = reciting_model()
    texts = [text for record in RECORDS for text in record]
    with reopened(save(tmp_path / "plain", network, build_tokenizer(texts, None))) as plain:
        assert [prefix.name for prefix in section().prefixes(plain)] == ["bos"]
        assert all(len(generation.turns) == 1 for generation in run(section(samples=2), plain))
        assert [prefix.text for prefix in section(prefix={"literal": "Dear"}).prefixes(plain)] == ["Dear"]


class _Strict(ServedModel):
    """Withholds every piece of more than four tokens."""

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        found = self.inner.complete(prefixes, sampler, seed)
        return [self.encode(REFUSAL) if len(ids) > 4 else ids for ids in found]


def test_a_piece_that_is_refused_is_asked_for_again_half_as_long(model: TransformersModel) -> None:
    strict = _Strict(model)
    taken_for_text = run(section(segment=16, pieces=200), strict)
    assert not [one for one in taken_for_text if one.turns in RECORDS]
    found = run(section(segment=16, pieces=200, refusals=(REFUSAL,)), strict)
    assert len([one for one in found if one.turns in RECORDS]) >= 22
    assert not any(REFUSAL in one.view("record") for one in found)


def test_a_few_refusals_cost_nothing_of_the_sample(model: TransformersModel) -> None:
    """After a short piece got through, the next is asked for in full length again, and refusals use no piece up."""
    asked: list[int] = []

    class Moody(ServedModel):
        """Refuses each long piece the first time."""

        def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
            asked.append(sampler.max_new_tokens)
            if sampler.max_new_tokens > 4 and asked.count(sampler.max_new_tokens) <= 3:
                return [self.encode(REFUSAL) for _ in prefixes]
            return self.inner.complete(prefixes, sampler, seed)

    found = run(section(segment=16, pieces=12, samples=12, refusals=(REFUSAL,)), Moody(model))
    assert asked[:4] == [16, 8, 4, 16]
    assert len([one for one in found if one.turns in RECORDS]) >= 9


def test_a_server_that_refuses_every_piece_gives_nothing(model: TransformersModel) -> None:
    class Silent(ServedModel):
        def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
            return [self.encode(REFUSAL) for _ in prefixes]

    found = run(section(samples=3, segment=8, refusals=(f" {REFUSAL}",)), Silent(model))
    assert [(one.finish, one.turns) for one in found] == [("empty", ("",))] * 3
