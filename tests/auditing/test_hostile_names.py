"""A whole audit of data whose files and tags somebody hostile named: spreadsheets, pages, machines, terminals."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml

from auditkit import audit, load_policy, verify
from auditkit.errors import DataError, PolicyError
from auditkit.report.base import AuditReport

NAMES = (
    "$(touch x).jsonl",
    "`touch x`.jsonl",
    "-rf.jsonl",
    "=HYPERLINK(1).jsonl",
    "+1.jsonl",
    "@SUM(1).jsonl",
    "\t=1.jsonl",
    "\r=1.jsonl",
    "\n=1.jsonl",
    " =1.jsonl",
    "＝1.jsonl",
    "'=1.jsonl",
    '"=1.jsonl',
    "a;=1+1.jsonl",
    'b",=1+1,".jsonl',
    "c\n=1+1\n.jsonl",
    "d\x1b[2J\x1b[31m.jsonl",
    "e\u202egpj.jsonl",
    "f\u200b\u2066.jsonl",
    "<script>alert(1)<.jsonl",
    "{{ 7*7 }}{% raw %}.jsonl",
    "g%2e%2e%2fetc?x#y.jsonl",
    "]]>&amp;.jsonl",
    "n" * 240 + ".jsonl",
)
TAGS = ["=1+1", "@SUM(A1)", "<b>tag</b>", "-2+3", "{{ 7*7 }}", "'; DROP TABLE"]
WORDS = "kettle lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder violin pepper".split()

pytestmark = pytest.mark.slow


def row(rng: random.Random) -> dict[str, object]:
    asked, told = " ".join(rng.sample(WORDS, 6)), " ".join(rng.sample(WORDS, 5))
    return {"q": f"Where did the {asked} go?", "a": f"Try the {told}.", "t": rng.choice(TAGS)}


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five records in each file; the model recites the first of each."""
    path = tmp_path_factory.mktemp("project")
    rng = random.Random(3)
    (path / "data").mkdir()
    said = []
    for name in NAMES:
        rows = [row(rng) for _ in range(5)]
        write(path / "data" / name, rows)
        said.append({"user": rows[0]["q"], "assistant": rows[0]["a"]})
    write(path / "controls.jsonl", [row(rng) for _ in range(200)])
    policy = {
        "version": 1,
        "name": "hostile",
        "models": {"candidate": {"backend": "scripted", "lines": said}},
        "datasets": [
            {
                "name": "sft", "stage": "sft", "path": "data", "controls": "controls.jsonl",
                "fields": {"prompt": "q", "response": "a", "tags": "t"},
            }
        ],
        "attacks": [{"kind": "template_prefix", "samples": 300, "max_new_tokens": 400, "seed": 1}],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.05}},
        "gate": [{"metric": "adjusted_coverage", "max": 0.05}],
        "report": {"formats": ["html", "json", "sarif", "junit"], "sign": "none"},
    }  # fmt: skip
    (path / "policy.yaml").write_text(yaml.safe_dump(policy))
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> AuditReport:
    return audit(load_policy(folder / "policy.yaml"), folder / "out")


@pytest.fixture
def run(folder: Path, report: AuditReport) -> Path:
    return folder / "out" / report.run.id


def test_every_file_is_read_whatever_its_name(report: AuditReport, run: Path, folder: Path) -> None:
    assert report.datasets[0].records == 5 * len(NAMES)
    assert report.verdict.outcome == "fail"
    assert verify(run).ok
    assert not any((place / "x").exists() for place in (folder, folder / "data", Path.cwd()))  # nobody touched it


def test_the_removal_list_opens_in_a_spreadsheet_and_still_points_at_every_file(run: Path, folder: Path) -> None:
    with (run / "evidence" / "removals-sft.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(NAMES)
    found = [folder / "data" / unquote(one["file"].removeprefix("file:")) for one in rows]
    assert {path.name for path in found} == set(NAMES)
    for path, one in zip(found, rows, strict=True):
        assert json.loads(path.read_text().splitlines()[int(one["line"]) - 1])["q"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_no_cell_is_a_formula_whatever_ends_a_cell(run: Path, separator: str) -> None:
    """Spreadsheets take the separator of the country that they are used in."""
    text = (run / "evidence" / "removals-sft.csv").read_text(encoding="utf-8")
    cells = [cell.strip("\"' \N{NO-BREAK SPACE}") for line in text.splitlines() for cell in line.split(separator)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", *"＝＋－＠"))]


def test_pages_show_names_and_tags_as_text(run: Path) -> None:
    for name in ("report.html", "report.redacted.html"):
        page = (run / name).read_text(encoding="utf-8")
        assert "<script>alert" not in page
        assert "<b>tag</b>" not in page
        assert not set("\x1b\u202e\u2066\u200b\x00") & set(page)
    assert "&lt;b&gt;tag&lt;/b&gt;" in (run / "report.html").read_text(encoding="utf-8")
    assert "{{ 7*7 }}" in (run / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")


def test_machines_read_the_same_names(run: Path) -> None:
    sarif = json.loads((run / "results.sarif").read_bytes())
    places = [
        place["physicalLocation"]["artifactLocation"]["uri"]
        for result in sarif["runs"][0]["results"]
        for place in result.get("locations", ())
    ]
    assert all(uri.isascii() and " " not in uri and "<" not in uri for uri in places)
    plain = {name for name in NAMES if name.isprintable() and len(name) < 200}
    assert plain <= {Path(unquote(uri)).name for uri in places}
    ElementTree.parse(run / "results.junit.xml")


def test_the_terminal_is_told_escaped_names(folder: Path, tmp_path: Path) -> None:
    """`check` tells every file with its digest; a colour or a new line in a name would be the file's own words."""
    done = subprocess.run(
        [sys.executable, "-m", "auditkit", "check", str(folder / "policy.yaml"), "--out", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not set("\x1b\u202e\u2066\u200b\r\t") & set(done.stdout + done.stderr)
    assert r"c\n=1+1\n.jsonl" in done.stdout
    assert r"d\x1b[2J\x1b[31m.jsonl" in done.stdout


def test_a_name_that_is_no_text_is_refused_before_the_run(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for source in (folder / "policy.yaml", folder / "controls.jsonl"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    write(tmp_path / "data" / b"bad\xff.jsonl".decode("utf-8", "surrogateescape"), [row(random.Random(1))])
    with pytest.raises((DataError, PolicyError), match="not UTF-8") as caught:
        audit(load_policy(tmp_path / "policy.yaml"), tmp_path / "out")
    assert str(caught.value).encode()  # can be printed
    assert not (tmp_path / "out").exists()
