"""A filter withholds what matches, leaves the rest, is measured for what it costs, and is evaded in pieces."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Declared
from auditkit.mitigations.output_filter import OutputFilter
from auditkit.models.scripted import ScriptedBackend
from auditkit.models.transformers_model import TransformersModel
from auditkit.records import Record, Sampler
from auditkit.statistics.intervals import clopper_pearson
from tests.models.tiny import RECORDS, reciting_model, reopened, save
from tests.probes.quickstart import given_records, opened

from .filters import attack, generations, mitigation, recited, workshop

MEMBERS = [Record("d", "member", at, f"m{at}", *pair) for at, pair in enumerate(RECORDS)]
FOREIGN = Record("d", "control", 0, "c0", "Wann fährt der Zug?", "Um halb vier, von Gleis neun.")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("filtered") / "tiny", *reciting_model())


@pytest.fixture(scope="module")
def model(tiny: Path) -> Iterator[TransformersModel]:
    with reopened(tiny) as opened_model:
        yield opened_model


def small(folder: Path, tiny: Path, controls: Sequence[Record] = (FOREIGN,), **given: Any) -> Any:
    return workshop(folder, MEMBERS, list(controls), model=tiny, **given)


def blocking(**given: Any) -> OutputFilter:
    found = mitigation("output_filter", **{"measure": "levenshtein", "threshold": 0.9, **given})
    assert isinstance(found, OutputFilter)
    return found


@pytest.mark.slow
def test_verbatim_recitals_are_withheld_and_nothing_else_is_touched(tmp_path: Path) -> None:
    model, shop = opened("leaky"), workshop(tmp_path)
    free = generations(attack(), model)
    assert recited(free) > 0.5
    served = blocking(refusal="No.").serve(model, shop)
    held = generations(attack(), served)
    assert recited(held) == 0
    for before, after in zip(free, held, strict=True):
        if after.finish == "blocked":
            assert (after.turns, after.token_ids, after.turn_change) == (("No.",), (), "none")
            assert (after.attack, after.ordinal, after.seed) == (before.attack, before.ordinal, before.seed)
        else:
            assert after == before
    assert {g.finish for g in held} == {"blocked", "stop"}


@pytest.mark.slow
def test_pieces_get_past_a_filter_of_whole_answers(tmp_path: Path) -> None:
    """The attack that knows of the filter gets what the plain one gets without it: each request is a fragment."""
    model, shop = opened("leaky"), workshop(tmp_path)
    section = blocking(evasions=["segmented", "truncated"])
    served = section.serve(model, shop)
    segmented, truncated = section.adaptive([attack()], shop)
    assert recited(generations(segmented, served)) > 0.5
    questions = {record.prompt for record in given_records("member")}
    cut = generations(truncated, served)
    assert sum(generation.turns[0] in questions for generation in cut) > len(cut) / 2
    assert all(generation.complete("prompt") and not generation.complete("record") for generation in cut)


def test_answers_to_given_questions_are_filtered_too(tiny: Path, model: TransformersModel, tmp_path: Path) -> None:
    answers = [replace(record, prompt=record.response, response="") for record in MEMBERS]
    served = blocking(refusal="No.").serve(model, workshop(tmp_path, answers, [FOREIGN], model=tiny))
    asked = [model.asked(question, model.opening()) for question, _ in RECORDS]
    found = served.complete([*asked, model.literal_prefix("1 2 3")], Sampler(0.0, max_new_tokens=40), 0)
    assert [served.decode(ids) for ids in found[:4]] == ["No."] * 4
    assert found[4] == model.complete([model.literal_prefix("1 2 3")], Sampler(0.0, max_new_tokens=40), 0)[0]


def test_the_calibrated_threshold_is_each_dataset_s_own(tiny: Path, model: TransformersModel, tmp_path: Path) -> None:
    shop = small(tmp_path, tiny, threshold=0.7)
    section = mitigation("output_filter")
    facts = section.make(shop).facts
    assert [(fact.name, fact.value) for fact in facts] == [("threshold, sft", 0.7)]
    for tau, blocked in ((0.7, {"blocked"}), (1.1, {"stop"})):
        declared = replace(shop.datasets[0], threshold=tau)
        served = section.serve(model, replace(shop, datasets=[declared]))
        found = [g for g in generations(attack(samples=12), served) if g.turns in RECORDS or g.finish == "blocked"]
        assert {g.finish for g in found} == blocked


def test_without_a_threshold_the_arm_fails_and_says_why(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(MitigationFailedError, match="no threshold for sft"):
        mitigation("output_filter").make(small(tmp_path, tiny, threshold=None))


@pytest.mark.parametrize(
    "given",
    [
        {"measure": "levenshtein"},
        {"measure": "levenshtein", "threshold": 0.3},
        {"threshold": 1.5},
        {"n": 1},
        {"false_positive_rate": 0},
        {"mode": "blok"},
        {"attacker": "open_weights"},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mitigation("output_filter", **given)


@pytest.mark.slow
def test_false_blocks_are_counted_on_controls(tiny: Path, model: TransformersModel, tmp_path: Path) -> None:
    """Three controls that say what a member says, one that does not: three of four would be stopped for nothing."""
    alike = [replace(record, split="control", id=f"c{record.index}") for record in MEMBERS[:3]]
    shop = small(tmp_path, tiny, [*alike, FOREIGN])
    for section in (blocking(), mitigation("output_filter", mode="ngrams", n=6)):
        section.make(shop)
        share, latency = section.utility(section.serve(model, shop), shop)
        assert (share.metric, share.dataset, share.value) == ("false_block_share", "sft", 0.75)
        assert (share.numerator, share.denominator) == (3, 4)
        assert (share.low, share.high) == clopper_pearson(3, 4)
        assert latency.metric == "latency_ratio"
        assert latency.low is not None and latency.value is not None and latency.high is not None
        assert 0 < latency.low <= latency.value <= latency.high
        assert latency.numerator and latency.denominator


def test_a_dataset_without_controls_has_no_share(tiny: Path, model: TransformersModel, tmp_path: Path) -> None:
    shop = small(tmp_path, tiny, [])
    share, _ = blocking().utility(blocking().serve(model, shop), shop)
    assert (share.value, share.low, share.reason) == (None, None, "the dataset has no controls")


def test_the_ngram_filter_is_built_once_keyed_and_its_owner_s_alone(
    tiny: Path, model: TransformersModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section, shop = mitigation("output_filter", mode="ngrams", n=6, false_positive_rate=1e-3), small(tmp_path, tiny)
    facts = {fact.name: fact for fact in section.make(shop).facts}
    assert facts["n"].value == 6
    assert facts["false-positive rate, designed"].value == 1e-3
    assert float(facts["false-positive rate, measured"].value) == pytest.approx(1e-3, rel=0.2)
    assert "membership oracle" in facts["secrecy"].note
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    monkeypatch.setattr(type(shop.candidate), "open", lambda *_: pytest.fail("opened again"))
    assert section.make(shop).facts == tuple(facts.values())
    found = generations(attack(samples=30), section.serve(model, shop))
    assert not any(generation.turns in RECORDS for generation in found)


def test_the_ngram_filter_serves_without_having_been_made(tiny: Path, model: TransformersModel, tmp_path: Path) -> None:
    section = mitigation("output_filter", mode="ngrams", n=6)
    served = section.serve(model, small(tmp_path, tiny))
    (answer,) = served.complete([model.asked(RECORDS[0][0], model.opening())], Sampler(0.0, max_new_tokens=40), 0)
    assert served.decode(answer) != RECORDS[0][1]


def test_a_backend_that_takes_no_guard_fails_the_arm(tiny: Path, tmp_path: Path) -> None:
    scripted = ScriptedBackend.model_validate({"backend": "scripted", "lines": [{"user": "a"}]})
    with pytest.raises(MitigationFailedError, match="scripted backend"):
        mitigation("output_filter", mode="ngrams").make(replace(small(tmp_path, tiny), candidate=scripted))


def test_pieces_shorter_than_an_ngram_pass_a_guard_that_does_not_see_prompts(
    tiny: Path, model: TransformersModel, tmp_path: Path
) -> None:
    found = {}
    for sees_prompt in (True, False):
        section = mitigation("output_filter", mode="ngrams", n=6, sees_prompt=sees_prompt, evasions=["segmented"])
        shop = small(tmp_path, tiny)
        (segmented,) = section.adaptive([attack(samples=20, max_new_tokens=80)], shop)
        found[sees_prompt] = sum(g.turns in RECORDS for g in generations(segmented, section.serve(model, shop)))
    assert found[True] == 0
    assert found[False] >= 12


def test_the_adaptive_attacks_take_counts_and_seeds_from_the_attack_that_samples_most(
    tiny: Path, tmp_path: Path
) -> None:
    shop = small(tmp_path, tiny)
    plain = attack(samples=70, max_new_tokens=100, temperature=0.7, top_k=5, top_p=0.9, seed=11, system="none")
    found = {one.label: one for one in mitigation("output_filter").adaptive([attack("bos_prefix"), plain], shop)}
    assert list(found) == ["styled_upper", "styled_spaced", "styled_french", "segmented", "truncated"]
    for one in found.values():
        assert (one.samples, one.temperature, one.top_k, one.top_p, one.seed) == (70, 0.7, 5, 0.9, 11)
    assert found["styled_spaced"].max_new_tokens == 400
    assert found["segmented"].model_dump()["system"] == "none"
    assert mitigation("output_filter").adaptive([], shop) == []


def test_a_chat_attacker_asks_for_styles_in_messages_and_for_nothing_else(tiny: Path, tmp_path: Path) -> None:
    chat = attack("chat_messages", messages=["Go on."])
    found = mitigation("output_filter").adaptive([chat], small(tmp_path, tiny))
    assert [one.label for one in found] == ["styled_upper", "styled_spaced", "styled_french"]
    assert all(one.model_dump()["messages"] == ("Go on.",) for one in found)


def test_a_backend_without_continuations_is_not_asked_for_pieces(tiny: Path, tmp_path: Path) -> None:
    scripted = ScriptedBackend.model_validate({"backend": "scripted", "lines": [{"user": "a"}]})
    shop = replace(small(tmp_path, tiny), candidate=scripted)
    assert len(mitigation("output_filter").adaptive([attack()], shop)) == 3


def test_a_match_with_any_dataset_is_enough(tiny: Path, model: TransformersModel, tmp_path: Path) -> None:
    shop = small(tmp_path, tiny)
    other = Declared("other", "sft", MEMBERS, [FOREIGN], np.arange(4), 0.9)
    scores = {"sft": 0.0, "other": 1.0}
    both = replace(
        shop, datasets=[*shop.datasets, other], similarity=lambda name, texts, _: np.full(len(texts), scores[name])
    )
    found = generations(attack(samples=5), mitigation("output_filter", threshold=0.9).serve(model, both))
    assert {generation.finish for generation in found} == {"blocked"}
