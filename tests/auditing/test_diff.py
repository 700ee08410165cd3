"""Two finished runs compared: what is paired and what is not, what decides, and nothing dropped silently."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditkit.auditing.diff import compare_runs
from auditkit.auditing.diff_policy import differing_leaves
from auditkit.errors import AuditkitError
from auditkit.report.diff import Compared, Diff
from tests.auditing.audited import MEMBERS, policy, project, records, run

Changed = Callable[[str, Callable[[dict[str, Any]], None]], Path]
ATTACK = {"kind": "template_prefix", "samples": 400, "max_new_tokens": 400, "seed": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Releases of one bot over the same data: 1.1, 1.2 that leaks more, and 1.1 attacked with another seed."""
    folder = project(tmp_path_factory.mktemp("bot"))
    return {
        "1.1": run(folder, policy(20)),
        "1.2": run(folder, policy(60)),
        "1.1 other seed": run(folder, policy(20, attacks=[{**ATTACK, "seed": 2}])),
    }


@pytest.fixture
def changed(runs: dict[str, Path], tmp_path: Path) -> Changed:
    """A copy of a run with its audit.json changed, and so no longer as it was attested."""

    def go(name: str, change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / f"changed-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(runs[name], folder)
        content = json.loads((folder / "audit.json").read_bytes())
        change(content)
        (folder / "audit.json").write_text(json.dumps(content))
        return folder

    return go


def _line(diff: Diff, metric: str) -> Compared:
    return next(line for line in [*diff.gate, *diff.others] if line.metric == metric)


def test_a_release_that_leaks_more_is_found_out(runs: dict[str, Path]) -> None:
    diff = compare_runs(runs["1.1"], runs["1.2"])
    assert (diff.outcome, diff.exit_code, diff.comparisons) == ("rose", 1, 3)
    assert {line.movement for line in diff.gate} == {"rose"}
    back = compare_runs(runs["1.2"], runs["1.1"])
    assert (back.outcome, back.exit_code) == ("fell", 0)


def test_differences_are_those_of_the_two_reports(runs: dict[str, Path]) -> None:
    diff = compare_runs(runs["1.1"], runs["1.2"])
    for line in [*diff.gate, *diff.others]:
        if line.difference is not None and line.difference.value is not None:
            assert line.before and line.after and line.before.value is not None and line.after.value is not None
            assert line.difference.value == pytest.approx(line.after.value - line.before.value, abs=1e-9)
            assert line.difference.low is not None and line.difference.high is not None
            assert line.difference.low <= line.difference.value <= line.difference.high


def test_a_run_has_not_moved_against_itself(runs: dict[str, Path]) -> None:
    diff = compare_runs(runs["1.2"], runs["1.2"])
    assert (diff.outcome, diff.exit_code) == ("level", 0)
    moved = [line.difference.value for line in [*diff.gate, *diff.others] if line.difference]
    assert moved and set(moved) == {0.0}
    assert diff.not_same == []
    assert [(one.appeared, one.vanished) for one in diff.records] == [(0, 0)]
    assert all(one.members and one.members.value == 0 for one in diff.scores) and diff.scores
    assert "same weights" in diff.sentence


def test_the_same_model_with_another_seed_is_not_paired_and_has_not_risen(runs: dict[str, Path]) -> None:
    diff = compare_runs(runs["1.1"], runs["1.1 other seed"])
    assert diff.exit_code == 0
    assert {line.pairing for line in diff.gate} == {"independent"}
    assert _line(diff, "string_memorisation_rate").why == "the seeds differ"
    assert [one.consequence for one in diff.not_same if one.what == "seed of template_prefix"]


def test_pairing_is_by_generation_and_narrows(runs: dict[str, Path], changed: Changed) -> None:
    """Against itself every pair agrees; the same figures taken as independent have the wider interval."""
    paired = _line(compare_runs(runs["1.1"], runs["1.1"]), "semantic_memorisation_rate")
    bare = changed("1.1", lambda content: None)
    shutil.rmtree(bare / "evidence")
    alone = _line(compare_runs(runs["1.1"], bare, unverified=True), "semantic_memorisation_rate")
    assert (paired.pairing, alone.pairing, alone.why) == ("paired", "independent", "the evidence was purged")
    assert paired.difference and alone.difference and paired.difference.high and alone.difference.high
    assert paired.difference.high < alone.difference.high / 2


def test_coverage_is_never_paired_by_generation(runs: dict[str, Path]) -> None:
    line = _line(compare_runs(runs["1.1"], runs["1.2"]), "adjusted_coverage")
    assert line.pairing == "independent" and "Poisson" in line.why


def test_records_are_told_by_their_keyed_ids(runs: dict[str, Path]) -> None:
    (moved,) = compare_runs(runs["1.1"], runs["1.2"]).records
    before, after = (json.loads((runs[name] / "audit.json").read_bytes()) for name in ("1.1", "1.2"))
    assert (moved.records, moved.before, moved.after) == (150, before["findings_total"], after["findings_total"])
    assert moved.after - moved.before == moved.appeared - moved.vanished
    assert {one.index for one in moved.newly} <= set(range(20, 60))  # what 1.2 says and 1.1 does not
    known = [*after["findings"], *after["attribution"]["removals"]]
    named = {one["record_index"]: one["record"] for one in known}
    assert {one.index: one.record for one in moved.newly} == {one.index: named[one.index] for one in moved.newly}
    text = compare_runs(runs["1.1"], runs["1.2"]).model_dump_json()
    assert not [row for row in MEMBERS if row["a"] in text or row["q"] in text]


def test_scores_are_paired_record_by_record(runs: dict[str, Path]) -> None:
    diff = compare_runs(runs["1.1"], runs["1.2"])
    shift = next(one for one in diff.scores if one.metric == "min_k")
    first, second = (pq.read_table(runs[name] / "evidence/scores-min_k+sft.parquet") for name in ("1.1", "1.2"))
    mine = [row for row in first.to_pylist() if row["metric"] == "min_k" and row["split"] == "member"]
    theirs = [row for row in second.to_pylist() if row["metric"] == "min_k" and row["split"] == "member"]
    changes = [b["value"] - a["value"] for a, b in zip(mine, theirs, strict=True) if a["scored"] and b["scored"]]
    assert shift.members and shift.members.value == pytest.approx(sum(changes) / len(changes))
    assert (shift.records, shift.rises) == (len(changes), sum(change > 0 for change in changes))
    assert "by near-duplicate cluster" in shift.members.method
    assert shift.controls and shift.excess and shift.members.value is not None
    assert shift.excess.value == pytest.approx(shift.members.value - (shift.controls.value or 0))


def test_scores_without_clusters_say_so(runs: dict[str, Path], changed: Changed) -> None:
    old = changed("1.1", lambda content: None)
    path = old / "evidence/scores-min_k+sft.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["cluster"]), path)
    shift = compare_runs(old, runs["1.2"], unverified=True).scores[0]
    assert shift.members and "near-duplicates count as independent" in shift.members.method


def test_other_data_is_compared_and_not_paired(runs: dict[str, Path], tmp_path: Path) -> None:
    other = run(project(tmp_path / "p", MEMBERS[:100] + records(50, 9)), policy(60))
    diff = compare_runs(runs["1.1"], other)
    assert diff.outcome == "rose"
    assert {line.pairing for line in diff.gate} == {"independent"}
    assert _line(diff, "string_memorisation_rate").why == "the data changed: Merkle roots differ"
    assert diff.records[0].reason == "the data changed: Merkle roots differ"
    assert "the data changed" in diff.scores[0].note
    said = next(one for one in diff.not_same if one.what == "records of sft")
    assert "the data changed" in said.consequence


def test_the_same_data_under_another_secret_is_told_from_other_data(runs: dict[str, Path], tmp_path: Path) -> None:
    diff = compare_runs(runs["1.1"], run(project(tmp_path / "p"), policy(20)))
    said = next(one for one in diff.not_same if one.what == "records of sft")
    assert "another project secret" in said.consequence
    assert {line.pairing for line in diff.gate} == {"independent"}


@pytest.mark.parametrize(
    ("change", "lines", "why"),
    [
        ({"attacks": [{**ATTACK, "samples": 500}]}, {"adjusted_coverage"}, "coverage grows with generations"),
        (
            {"attacks": [{**ATTACK, "temperature": 0.7}]},
            {"adjusted_coverage", "semantic_memorisation_rate", "string_memorisation_rate"},
            "the attack changed",
        ),
        (
            {"scoring": {"semantic_threshold": 0.8}},
            {"adjusted_coverage", "semantic_memorisation_rate"},
            "the threshold is calibrated before, policy after",
        ),
        (
            {"scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}, "string_threshold": 0.95}},
            {"string_memorisation_rate"},
            "the string threshold differs",
        ),
    ],
)
def test_what_was_not_measured_alike_does_not_decide(
    runs: dict[str, Path], tmp_path: Path, change: dict[str, Any], lines: set[str], why: str
) -> None:
    shutil.copy(runs["1.1"].parents[1] / ".auditkit-secret", project(tmp_path / "p"))
    diff = compare_runs(runs["1.1"], run(tmp_path / "p", policy(60, **change)))
    assert {line.metric for line in diff.gate if not line.decides} == lines
    assert all(why in line.why for line in diff.gate if not line.decides)
    assert diff.comparisons == 3 - len(lines)
    assert diff.exit_code == (2 if len(lines) == 3 else 1)
    assert all(one.consequence for one in diff.not_same) and diff.not_same


def test_where_thresholds_differ_rates_are_shown_at_one_in_common(runs: dict[str, Path], tmp_path: Path) -> None:
    other = run(project(tmp_path / "p"), policy(60, scoring={"semantic_threshold": 0.8}))
    diff = compare_runs(runs["1.1"], other)
    common = [line for line in diff.others if line.threshold is not None]
    assert common and all(line.difference and line.difference.value is not None for line in common)
    own = json.loads((runs["1.1"] / "audit.json").read_bytes())["calibration"][0]["threshold"]
    record = next(line for line in common if line.view == "record")
    assert record.threshold is not None and record.threshold >= max(own, 0.8)


def test_a_dataset_of_one_run_is_told_and_does_not_decide(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    shutil.copy(runs["1.1"].parents[1] / ".auditkit-secret", folder)
    (folder / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records(150, 7)))
    content = policy(20)
    content["datasets"].append({**content["datasets"][0], "name": "more", "path": "more.jsonl"})
    diff = compare_runs(runs["1.1"], run(folder, content))
    alone = [line for line in diff.gate if line.dataset == "more"]
    assert len(alone) == 3 and not any(line.decides for line in alone)
    assert {line.why for line in alone} == {"the first run has no dataset more"}
    assert diff.exit_code == 0 and "3 of the gates' 6 figures could not be compared" in diff.sentence
    assert any(one.what == "dataset in one run only" for one in diff.not_same)


def test_a_run_that_is_not_as_it_was_attested_is_refused(runs: dict[str, Path], changed: Changed) -> None:
    broken = changed("1.2", lambda content: content["run"].update(finished="2020-01-01T00:00:00Z"))
    with pytest.raises(AuditkitError, match="not as it was attested"):
        compare_runs(runs["1.1"], broken)
    diff = compare_runs(runs["1.1"], broken, unverified=True)
    assert diff.after.integrity.startswith("NOT VERIFIED") and diff.before.integrity == "intact, UNSIGNED"


def test_an_unfinished_run_is_refused(runs: dict[str, Path], changed: Changed) -> None:
    unfinished = changed("1.1", lambda content: None)
    (unfinished / "attestation.dsse.json").unlink()
    with pytest.raises(AuditkitError, match="not finished"):
        compare_runs(unfinished, runs["1.2"])


def test_a_purged_run_is_compared_by_its_redacted_report(runs: dict[str, Path], changed: Changed) -> None:
    purged = changed("1.1", lambda content: content["policy"].update(text=""))
    (purged / "audit.json").rename(purged / "audit.redacted.json")
    shutil.rmtree(purged / "evidence")
    diff = compare_runs(purged, runs["1.2"], unverified=True)
    assert diff.outcome == "rose"
    assert any("Purged" in note for note in diff.before.notes)
    assert diff.records[0].reason == "the evidence was purged"
    assert "purged" in diff.scores[0].note


def test_a_report_of_an_earlier_schema_is_compared(runs: dict[str, Path], changed: Changed) -> None:
    def back(content: dict[str, Any]) -> None:
        content["schema_version"] = "1.0"
        for name in ("migration", "attribution", "thresholds"):
            del content[name]

    diff = compare_runs(changed("1.1", back), runs["1.2"], unverified=True)
    assert (diff.outcome, diff.before.schema_version) == ("rose", "1.0")
    assert any("schema 1.0" in note for note in diff.before.notes)


@pytest.mark.parametrize(
    "name", ["matches-template_prefix+sft+record.parquet", "coverage-template_prefix+sft+record.npz"]
)
@pytest.mark.parametrize("damage", [b"", b"PAR1 no", b"\x93NUMPY"])
def test_damaged_evidence_is_no_traceback(runs: dict[str, Path], changed: Changed, name: str, damage: bytes) -> None:
    broken = changed("1.1", lambda content: None)
    (broken / "evidence" / name.format("template_prefix+sft+record")).write_bytes(damage)
    diff = compare_runs(broken, runs["1.2"], unverified=True)
    assert diff.outcome == "rose"
    told = [line.why for line in diff.gate] + [one.reason for one in diff.records]
    assert any("the evidence cannot be read" in why for why in told)


def test_names_that_lead_out_of_the_evidence_are_not_followed(
    runs: dict[str, Path], changed: Changed, tmp_path: Path
) -> None:
    def mislead(content: dict[str, Any]) -> None:
        text = json.dumps(content).replace('"template_prefix"', '"/../../../elsewhere"')
        content.update(json.loads(text))

    sides = [changed(name, mislead) for name in ("1.1", "1.2")]
    for side in sides:
        for file in (side / "evidence").iterdir():
            shutil.copy(file, tmp_path / f"elsewhere{file.name.partition('template_prefix')[2]}")
        (side / "evidence" / "matches-").mkdir()
    diff = compare_runs(*sides, unverified=True)
    rates = [line for line in diff.gate if "coverage" not in line.metric]
    assert rates and {line.why for line in rates} == {"the evidence is not in the run folder"}


def test_matches_that_tell_another_story_are_not_paired(runs: dict[str, Path], changed: Changed) -> None:
    other = changed("1.1", lambda content: None)
    path = other / "evidence/matches-template_prefix+sft+record.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("score")
    pq.write_table(table.set_column(place, "score", pa.array([0.0] * len(table), pa.float32())), path)
    line = _line(compare_runs(other, runs["1.2"], unverified=True), "semantic_memorisation_rate")
    assert (line.pairing, line.why) == ("independent", "the matches on disk do not give the figure of the report")


def test_alpha_is_what_it_takes(runs: dict[str, Path]) -> None:
    strict = compare_runs(runs["1.1"], runs["1.2"], alpha=1e-300)
    assert strict.outcome == "level"
    assert all(line.p is not None and line.adjusted_p is not None and line.p <= line.adjusted_p for line in strict.gate)


def test_policies_are_told_leaf_by_leaf_without_a_text_or_a_digest() -> None:
    secret = "our customer is Dr Example"
    before = {
        "seed": 1,
        "gate": [{"max": 0.1}],
        "mitigations": [{"text": secret}],
        "locked": {"files": {"a": "0" * 64}},
    }
    after = {"seed": 2, "gate": [{"max": 0.1}, {"max": 0.2}], "mitigations": [{"text": "x"}], "locked": {}}
    found = differing_leaves(before, after)
    assert found["seed"] == ("1", "2") and found["gate.1.max"] == ("–", "0.2")
    assert found["mitigations.0.text"] == ("26 characters", "1 characters")
    assert secret not in str(found) and "0" * 64 not in str(found)
    assert differing_leaves(before, before) == {} and differing_leaves({}, after) == {}
