"""What the report says of whose data leaked and what to remove."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditkit.report.base import AuditReport
from auditkit.report.document import PAPER, render
from auditkit.report.html_format import HtmlFormat
from auditkit.report.json_format import canonical, load
from auditkit.report.markdown_format import summary
from auditkit.report.pdf_format import PdfFormat
from auditkit.report.redaction import redact
from auditkit.report.removal import RemovalForecast, RemovalPoint
from auditkit.report.scored import Attribution, GroupKind, LeakGroup, Removal
from tests.report.builder import small_report
from tests.report.hostile import HOSTILE
from tests.report.poppler import told
from tests.report.test_html_format import assert_harmless
from tests.report.test_span_marks import finding

SECRET_TAGS = ["Zephyrine Quillfeather", "wardrobe-of-winter"]


def group(by: GroupKind, name: str, leaked: int) -> LeakGroup:
    return LeakGroup(
        by=by,
        name=name,
        records=400,
        records_leaked=leaked,
        clusters=380,
        clusters_leaked=leaked,
        generations=4 * leaked,
    )


def removal(place: int, dataset: str = "sft-support", **changes: object) -> Removal:
    made = Removal(
        dataset=dataset, record=f"rec-{place:020x}", record_index=place, file="data/sft.jsonl", line=place + 1,
        owner="data@example.com", licence="proprietary", tags=[], records=2, generations=20 - place,
        risk_per_record=(20 - place) / 400, cumulative=min(1.0, (place + 1) / 10),
    )  # fmt: skip
    return made.model_copy(update=changes)


def attribution(**changes: object) -> Attribution:
    made = Attribution(
        groups=[
            group("dataset", "sft-support", 60), group("owner", "data@example.com", 60), group("licence", "", 60),
            *(group("tag", tag, 30) for tag in SECRET_TAGS), group("tag", "", 2),
        ],
        groups_total=9,
        removals=[removal(place, tags=SECRET_TAGS) for place in range(5)],
        removals_total=57,
    )  # fmt: skip
    return made.model_copy(update=changes)


def pages(folder: Path, found: Attribution | None) -> tuple[str, str]:
    written = HtmlFormat().write(small_report(attribution=found), folder)
    sources = [path.read_text(encoding="utf-8") for path in written]
    full, redacted = (re.sub(r"\s+", " ", assert_harmless(source).text) for source in sources)
    return full, redacted


def test_groups_removals_and_what_they_mean_are_on_the_page(tmp_path: Path) -> None:
    full, _ = pages(tmp_path, attribution())
    for words in (
        "Whose data leaked, and what to remove", "60 of 400", "not stated", "no tag", "3 groups with fewer leaked",
        "data/sft.jsonl:5", "rec-00000000000000000004", "holds the first 5 of 57", "removals-sft-support.csv",
        "It does not un-train this model", "What is taken away by removing the listed records",
    ):  # fmt: skip
        assert words in full, words
    assert full.index("Zephyrine Quillfeather") < full.index("What to remove first")


def test_it_is_on_paper_too(tmp_path: Path) -> None:
    leak = finding("Dear Ann, the kettle costs twelve pounds.", "The kettle costs twelve pounds.")
    written = PdfFormat().write(small_report(attribution=attribution(), findings=[leak]), tmp_path)
    texts = [told("pdftotext", path, "-") for path in written]
    assert "data/sft.jsonl:5" in texts[0] and "Zephyrine" in texts[0]
    assert "Longest shared span: 30 of 41" in texts[0] and "kettle" in texts[0] and "kettle" not in texts[1]
    assert "data/sft.jsonl:5" in texts[1] and "Zephyrine" not in texts[1] and "wardrobe" not in texts[1]


def test_a_long_list_is_cut_on_paper_alone(tmp_path: Path) -> None:
    many = attribution(removals=[removal(place) for place in range(130)], removals_total=130)
    assert "data/sft.jsonl:130" in pages(tmp_path, many)[0]
    paper = re.sub(r"\s+", " ", render(small_report(attribution=many), PAPER, False))
    assert "data/sft.jsonl:100<" in paper and "data/sft.jsonl:101<" not in paper and "30 more are in the HTML" in paper


def test_tags_are_data_and_owners_are_not(tmp_path: Path) -> None:
    _, redacted = pages(tmp_path, attribution())
    assert not any(tag in redacted for tag in SECRET_TAGS)
    assert "tag 1" in redacted and "tag 2" in redacted and "data@example.com" in redacted
    written = canonical(redact(small_report(attribution=attribution()))).decode()
    assert not any(tag in written for tag in SECRET_TAGS)


def test_a_redacted_likelihood_confirms_no_guess() -> None:
    """Whoever has the weights can compute it of a guess: to the last digit it would be a fingerprint."""
    likely = attribution(removals=[removal(0, extraction_probability=0.012345678901234567)])
    found = redact(small_report(attribution=likely)).attribution
    assert found is not None and found.removals[0].extraction_probability == 0.012


def test_without_leaks_nothing_is_to_be_removed(tmp_path: Path) -> None:
    clean = attribution(groups=[group("dataset", "sft-support", 0)], groups_total=1, removals=[], removals_total=0)
    full, redacted = pages(tmp_path, clean)
    for text in (full, redacted):
        assert "Nothing: no generation reached the threshold." in text and "0 of 400" in text


def test_without_a_threshold_the_section_is_left_out(tmp_path: Path) -> None:
    assert "Whose data leaked" not in "".join(pages(tmp_path, None))


def test_each_dataset_has_its_own_list(tmp_path: Path) -> None:
    two = [removal(0), removal(1), removal(0, "dpo-ranking", file="dpo.jsonl")]
    full, _ = pages(tmp_path, attribution(removals=two, removals_total=3))
    assert "holds the first" not in full and full.index("dpo.jsonl:1") < full.index("data/sft.jsonl:1")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_not_run(tmp_path: Path, name: str) -> None:
    text = HOSTILE[name]
    hostile = attribution(
        groups=[group("owner", text, 3), group("tag", text, 3)],
        removals=[removal(place, dataset=text, file=text, tags=[text], owner=text, licence=text) for place in range(4)],
    )
    for path in HtmlFormat().write(small_report(attribution=hostile), tmp_path):
        assert_harmless(path.read_text(encoding="utf-8"))


def test_it_is_the_same_after_a_turn_through_audit_json(tmp_path: Path) -> None:
    report: AuditReport = small_report(attribution=attribution())
    (tmp_path / "audit.json").write_bytes(canonical(report))
    assert load(tmp_path / "audit.json").attribution == report.attribution


def forecast(dataset: str = "sft-support") -> RemovalForecast:
    points = [
        RemovalPoint(clusters=n, records=2 * n, coverage=0.15 - n / 400, low=0.12 - n / 400, high=0.18 - n / 400)
        for n in range(0, 58, 3)
    ]
    return RemovalForecast(
        dataset=dataset, clusters=380, clusters_leaked=57, controls=300, controls_leaked=3, listed=57, points=points
    )


def test_what_would_be_left_is_told_with_its_assumptions(tmp_path: Path) -> None:
    found = attribution(forecasts=[forecast()])
    for text in pages(tmp_path, found):
        for words in ("What would be left of the leak", "Predicted coverage", "kept records leak as before", "onion"):
            assert words in text, words
        assert "Predicted coverage after removing the listed records" in text  # the figure
    told = summary(small_report(attribution=found))
    assert "without the first 27 clusters (54 records) of the removal list" in told
    assert "What would be left" not in "".join(pages(tmp_path, attribution()))
