"""Controls that nearly repeat a member are refused by name, left out, or kept with a caution; never quoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from auditkit import audit, load_policy
from auditkit.auditing.near_controls import near_controls, without
from auditkit.auditing.prepare import prepare
from auditkit.corpus.base import Corpus
from auditkit.errors import DataError
from auditkit.records import Record, Split
from auditkit.scoring.strings.best import similarity
from tests.auditing.test_verdicts import CLEAN, WORDS, _policy, _records, _write

OTHER_WORD = "does"


def _twins(count: int) -> list[dict[str, str]]:
    """Controls that differ from a member by one word of the question."""
    return [{**row, "q": row["q"].replace("did", OTHER_WORD)} for row in _records(150, 1)[:count]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """150 members; 300 controls of their kind, and 25 that nearly repeat the first members."""
    _write(tmp_path / "sft.jsonl", _records(150, 1))
    _write(tmp_path / "controls.jsonl", [*_records(300, 2), *_twins(25)])
    return tmp_path


def _load(project: Path, **dataset: Any) -> Any:
    policy = _policy(CLEAN)
    policy["datasets"][0] |= dataset
    (project / "policy.yaml").write_text(yaml.safe_dump(policy))
    return load_policy(project / "policy.yaml")


def test_the_pairs_are_named_and_their_texts_are_not(project: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare(_load(project), b"s")
    problems = caught.value.problems
    assert len(problems) == 20
    assert (problems[0].file.name, problems[0].line) == ("controls.jsonl", 301)
    first = _records(150, 1)[0]
    likeness = similarity(f"{first['q']}\n{first['a']}", f"{_twins(1)[0]['q']}\n{first['a']}")
    assert likeness >= 0.9
    assert "sft.jsonl:1:" in problems[0].message
    assert f"{int(likeness * 1000) / 1000:.3f}" in problems[0].message
    assert "25 of 325" in problems[-1].hint
    assert "exclude" in problems[-1].hint
    assert not any(word in str(caught.value) for word in (*WORDS, OTHER_WORD))


def test_excluded_ones_are_left_out_and_counted(project: Path) -> None:
    (data,) = prepare(_load(project, near_controls="exclude"), b"s")
    assert len(data.controls.records) == 300
    assert [record.index for record in data.controls.records] == list(range(300))
    assert sorted([*data.calibration, *data.evaluation]) == list(range(300))
    assert (data.near_duplicates().controls, data.near_duplicates().near_controls) == (25, "exclude")


def test_kept_ones_forbid_a_pass_and_say_so(project: Path) -> None:
    report = audit(_load(project, near_controls="exclude"), project / "out")
    assert report.verdict.outcome == "pass"
    assert report.near_duplicates[0].controls == 25
    kept = audit(_load(project, near_controls="keep"), project / "out")
    assert kept.verdict.outcome == "inconclusive"
    assert any("25 of the 325 controls" in caution for caution in kept.verdict.cautions)
    assert kept.datasets[0].controls == 325


def test_a_control_that_repeats_a_member_to_the_letter_is_an_error_whatever_the_policy_says(project: Path) -> None:
    _write(project / "controls.jsonl", [*_records(300, 2), _records(150, 1)[3]])
    for rule in ("refuse", "exclude", "keep"):
        with pytest.raises(DataError, match=r"repeats the member at sft\.jsonl:4"):
            prepare(_load(project, near_controls=rule), b"s")


def test_near_duplicates_among_the_members_are_counted(project: Path) -> None:
    rows = _records(150, 1)
    more = [{**row, "a": row["a"].upper()[:1] + row["a"][1:] + "."} for row in rows[:10]]
    _write(project / "sft.jsonl", [*rows, *more, *(json.loads(json.dumps(rows[0])) for _ in range(3))])
    _write(project / "controls.jsonl", _records(300, 2))
    near = prepare(_load(project), b"s")[0].near_duplicates()
    assert (near.clusters, near.largest, near.records, near.controls) == (10, 5, 23, 0)


def test_a_prompt_that_is_a_members_but_for_a_letter_blinds_the_prompt_view_and_no_other(project: Path) -> None:
    rows, others = _records(150, 1), _records(40, 9)
    twins = [{"q": row["q"].replace("?", "!"), "a": f"{a['a']} {a['q']}"} for row, a in zip(rows, others, strict=False)]
    _write(project / "controls.jsonl", [*_records(300, 2), *twins])
    policy = _policy(CLEAN, gate=[{"metric": "adjusted_coverage", "max": 0.05, "view": "prompt"}])
    for rule, outcome in (("prompt", "inconclusive"), ("record", "pass")):
        policy["gate"][0]["view"] = rule
        (project / "policy.yaml").write_text(yaml.safe_dump(policy))
        report = audit(load_policy(project / "policy.yaml"), project / "out")
        assert report.verdict.outcome == outcome
        assert (report.near_duplicates[0].controls, report.near_duplicates[0].prompts) == (0, 40)
        said = [caution for caution in report.verdict.cautions if "prompts of 40 of 340 controls" in caution]
        assert len(said) == 1
        assert not any(word in caution for caution in said for word in WORDS)


def test_a_high_threshold_of_the_policy_lets_no_twin_in(project: Path) -> None:
    policy = _policy(CLEAN, scoring={"semantic_threshold": {"calibrate_fpr": 0.05}, "string_threshold": 1.0})
    (project / "policy.yaml").write_text(yaml.safe_dump(policy))
    with pytest.raises(DataError, match="nearly repeats"):
        prepare(load_policy(project / "policy.yaml"), b"s")


words = st.text("ab ", max_size=12)


@given(st.lists(words, max_size=8), st.lists(words, max_size=8), st.sampled_from([0.6, 0.9, 1.0]))
def test_every_near_control_is_found_and_no_other(members: list[str], controls: list[str], threshold: float) -> None:
    sides = _corpus(members, "member"), _corpus(controls, "control")
    found = near_controls(*sides, threshold)
    expected = [i for i, text in enumerate(controls) if any(similarity(text, other) >= threshold for other in members)]
    assert [near.control for near in found] == expected
    for near in found:
        assert near.similarity == pytest.approx(similarity(controls[near.control], members[near.member]))
    left = without(sides[1], found)
    assert near_controls(sides[0], left, threshold) == []
    assert len(left.records) == len(controls) - len(found)


def _corpus(texts: list[str], split: Split) -> Corpus:
    records = tuple(Record("d", split, place, f"{split}{place}", text) for place, text in enumerate(texts))
    return Corpus("d", split, records, (), 0, {})
