"""Old reports are read and shown, and no version of the schema changes its shape unnoticed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import AuditkitError
from auditkit.registry import kinds, plugin_class
from auditkit.report.base import SCHEMA_VERSION, AuditReport
from auditkit.report.document import SCREEN, render
from auditkit.report.json_format import canonical, load
from auditkit.report.migrations import STEPS, migrated, not_recorded, readable
from tests.report.golden_files import FOLDER, Shape, as_lines, kept, report_of_this_version, shape

OLD = ["audit-1.0-first.json", "audit-1.0.json"]  # by the first auditkit that wrote 1.0, and by the last
VERSIONS = readable()


def _content(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_bytes())
    return content


def _shape(version: str) -> Shape:
    content: Shape = json.loads((FOLDER / f"shape-{version}.json").read_bytes())
    return content


@pytest.mark.parametrize("name", OLD)
def test_an_old_report_is_one_of_ours(name: str) -> None:
    report = load(FOLDER / name)
    assert report.schema_version == SCHEMA_VERSION
    assert report.migration is not None and report.migration.from_version == "1.0"
    assert report.verdict.model_dump(mode="json", exclude_none=False)["rules"][0]["estimate"] is not None
    was = _content(name)
    assert [e["value"] for e in was["arms"][0]["estimates"]] == [e.value for e in report.arms[0].estimates]


@pytest.mark.parametrize("kind", kinds("formats"))
@pytest.mark.parametrize("name", OLD)
def test_every_format_is_made_of_an_old_report(name: str, kind: str, tmp_path: Path) -> None:
    paths = plugin_class("formats", kind).model_validate({"kind": kind}).write(load(FOLDER / name), tmp_path)
    assert paths and all(path.stat().st_size > 100 for path in paths)


def test_the_page_says_what_was_not_recorded_then() -> None:
    page = render(load(FOLDER / OLD[0]), SCREEN, redacted=False)
    assert "recorded by auditkit 0.1.0 (report schema 1.0)" in page
    assert "Not recorded then: " in page
    assert "what more generations would find" in page and "mitigations, attacked again" in page
    assert "Not recorded then" not in render(report_of_this_version(), SCREEN, redacted=False)


def test_what_is_missing_is_named_once_however_many_items_lack_it() -> None:
    lacking = not_recorded(_content(OLD[0]))
    assert lacking.count("the stretches that a record and a generation share") == 1
    assert "arms.estimates" not in lacking and "run" not in lacking


def test_what_the_last_report_of_an_earlier_version_lacks_is_told_in_words() -> None:
    assert not_recorded(_content(OLD[1])) == [
        "whether the policy was registered before the run",
        "earlier runs of the same model and data",
        "what the leak is worth to whoever trains on it",
    ]


def test_a_report_that_was_migrated_twice_remembers_where_it_came_from() -> None:
    again = json.loads(canonical(load(FOLDER / OLD[0])))
    assert again["schema_version"] == SCHEMA_VERSION and migrated(again) == again
    older = migrated({**again, "schema_version": "1.0"})
    assert older["migration"]["from_version"] == "1.0"
    assert older["migration"]["not_recorded"] == again["migration"]["not_recorded"]


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("1.999", "upgrade auditkit"),
        ("2.0", "upgrade auditkit"),
        ("0.9", "use the version of auditkit that wrote it"),
        ("1", "this auditkit reads 1.0"),
        ("1.0\n", "this auditkit reads"),
        (["1.0"], "this auditkit reads"),
        (1.0, "this auditkit reads"),
        (None, "this auditkit reads"),
    ],
)
def test_other_versions_are_refused_with_what_to_do(tmp_path: Path, version: object, advice: str) -> None:
    path = tmp_path / "audit.json"
    path.write_text(json.dumps({"schema_version": version}))
    with pytest.raises(AuditkitError) as caught:
        load(path)
    assert advice in caught.value.hint


def test_the_report_of_this_version_is_the_one_kept() -> None:
    name = f"audit-{SCHEMA_VERSION}.json"
    made = canonical(report_of_this_version())
    assert made == kept(name, made), "meant? then AUDITKIT_UPDATE_GOLDEN=1, and look at the change"
    assert canonical(load(FOLDER / name)) == made


def test_the_shape_of_a_version_does_not_change() -> None:
    now = as_lines(shape())
    assert now == kept(f"shape-{SCHEMA_VERSION}.json", now), (
        f"AuditReport changed its shape under schema version {SCHEMA_VERSION}. Once {SCHEMA_VERSION} is released, "
        "give it a new SCHEMA_VERSION and a step in report/migrations.py; before that: AUDITKIT_UPDATE_GOLDEN=1"
    )


@pytest.mark.parametrize(("before", "after"), list(pairwise(VERSIONS)))
def test_a_minor_version_only_adds_and_what_it_adds_has_a_default(before: str, after: str) -> None:
    assert before.split(".", maxsplit=1)[0] == after.split(".", maxsplit=1)[0], "a major step needs a test of its own"
    old, new = _shape(before), _shape(after)
    for part, fields in old.items():
        assert fields.keys() <= new[part].keys(), part
    for part, fields in new.items():
        added = fields.keys() - old.get(part, fields).keys()
        assert not [name for name in added if fields[name]["required"]], part


def test_every_older_version_has_a_way_to_ours() -> None:
    assert set(STEPS) | {SCHEMA_VERSION} == set(VERSIONS)
    for version in STEPS:
        assert migrated({"schema_version": version})["schema_version"] == SCHEMA_VERSION
    assert AuditReport.model_fields["schema_version"].default == VERSIONS[-1]
