"""The naive pipeline is an honest peer: it finds what is there, judges by the same rules, scores as auditkit does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auditkit.scoring.strings.best import best_string_matches
from auditkit.scoring.vectors.index import best_vector_matches
from benchmarks.end_to_end import __main__ as program
from benchmarks.end_to_end import naive
from benchmarks.end_to_end.agreement import Agreement
from benchmarks.end_to_end.cases import Size, cases
from benchmarks.end_to_end.naive import NaiveAttack, NaiveGeneration, Sampler
from benchmarks.end_to_end.sides import STAGES, Clock
from benchmarks.measure import Entry
from tests.models.tiny import RECORDS, reciting_model, save

PREFIX, CHANGE = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    model, tokenizer = reciting_model()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Sampler(save(tmp_path_factory.mktemp("naive") / "model", model, tokenizer), "float32")


def test_it_samples_both_turns_of_what_the_model_recites(sampler: Sampler) -> None:
    found = sampler.run(NaiveAttack("a", PREFIX, CHANGE, 20, 80, 7))
    known = {"\n".join(record) for record in RECORDS}
    assert len(found) == 20
    assert sum(one.finished and one.view("record") in known for one in found) > 15
    assert {one.view("prompt") for one in found} & {question for question, _ in RECORDS}


def test_the_budget_of_tokens_is_the_whole_samples(sampler: Sampler) -> None:
    found = sampler.run(NaiveAttack("a", PREFIX, CHANGE, 17, 12, 7))
    tokenizer = sampler.loaded[1]
    assert len(found) == 17
    assert not any(one.finished for one in found)
    assert all(sum(len(tokenizer(turn)["input_ids"]) for turn in one.turns) <= 13 for one in found)


def test_the_same_texts_get_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    ours, theirs = best_vector_matches(rows[:20], rows[20:]), naive.nearest(rows[:20], rows[20:])
    np.testing.assert_array_equal(ours[0], theirs["record"])
    np.testing.assert_allclose(ours[1], theirs["score"], atol=1e-6)
    members = [answer for _, answer in RECORDS]
    texts = [*members, members[0][:-2], "quite another thing"]
    found = naive.string_matches(texts, members)
    for measure in ("levenshtein", "indel"):
        index, similarity = best_string_matches(texts, members, measure)
        reached = found[measure] >= 0.8
        np.testing.assert_array_equal(index, np.where(reached, found[f"{measure}_record"], -1))
        np.testing.assert_array_equal(similarity[reached], found[measure][reached])


def test_its_threshold_lets_no_more_than_the_share_of_controls_through() -> None:
    null = np.random.default_rng(0).random(500).astype(np.float32)
    assert 0 < (null >= naive.threshold(null, 0.01)).mean() <= 0.01


@pytest.mark.parametrize(
    ("members", "controls", "unfinished", "expected"),
    [
        (0.5, 0.0, 0.0, "fail"),
        (0.0, 0.0, 0.0, "pass"),
        (0.0, 0.0, 0.2, "inconclusive"),
        (0.06, 0.0, 0.0, "inconclusive"),
    ],
)
def test_a_rule_is_judged_by_its_interval(members: float, controls: float, unfinished: float, expected: str) -> None:
    flags = [(np.arange(200) < 200 * share).astype(float) for share in (members, controls)]
    assert naive.outcome(naive.difference(*flags), 0.05, unfinished) == expected
    assert naive.overall({"a": expected, "b": "pass"}) == expected


def test_a_generation_without_an_answer_is_whole_only_where_it_ended() -> None:
    assert not NaiveGeneration(("a question",), False).complete("prompt")
    assert NaiveGeneration(("a question", "cut"), False).complete("prompt")
    assert not NaiveGeneration(("a question", "cut"), False).complete("record")


def test_stages_are_told_by_what_their_labels_begin_with() -> None:
    clock = Clock()
    for label in ("embed sft members, record", "compare a with b, record", "match a with b, record", "attack a"):
        with clock.stage(label, 1, "texts"):
            pass
    assert all(clock.seconds[stage] > 0 for stage in ("embed", "nearest", "strings"))
    assert clock.seconds["generate"] == clock.seconds["rest"] == 0


def test_a_case_becomes_a_policy_without_what_the_peer_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.end_to_end.cases.minilm_folder", lambda: tmp_path)
    case = cases()[0]
    own = case.prepared(tmp_path / "own", Size(0.1, 50, 30, 40), False)
    assert [attack.samples for attack in own.prefix_attacks] == [100, 30]
    assert {attack.max_new_tokens for attack in own.prefix_attacks} == {50}
    assert not own.record_probes and not own.mitigations
    assert own.scoring.embedder.kind == "default"
    lines = [Path(file).read_text().count("\n") for file in (own.datasets[0].path, own.datasets[0].controls or "")]
    assert lines == [30, 40]
    assert case.prepared(tmp_path / "alike", Size(), True).scoring.embedder.kind == "sentence_transformers"


def test_disagreements_add_up() -> None:
    whole = Agreement(3, 1e-7) + Agreement(4, 1e-6, other_string=1)
    assert (whole.compared, whole.largest_difference, whole.other_string) == (7, 1e-6, 1)
    assert not whole.same and Agreement(3, 1e-7).same
    assert not Agreement(3, 1e-3).same


def test_the_table_has_a_row_for_every_stage() -> None:
    stages = {name: {"ours_s": 1.0, "peer_s": 3.5, "ratio": 3.5} for name in STAGES}
    more = {"stages": stages, "verdict": ["fail"], "verdict_of_peer": ["fail"], "same_generations": vars(Agreement(8))}
    made = Entry("end to end, some", "another", 3, 3.5, True, 5.0, 17.5, more)
    written = program.table([made])
    assert "| generate | 1.0 s against 3.5 s, 3.50 |" in written
    assert "| **together** | 5.0 s against 17.5 s, 3.50 |" in written
    assert "fail on either side" in written and "8 compared, 0 differ" in written
    assert json.loads(json.dumps(made.as_json()))["stages"]["embed"]["ratio"] == 3.5
