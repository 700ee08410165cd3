"""A dictionary is tried against everything of a run that leaves the evidence folder, and confirms nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from auditkit.registry import kinds
from auditkit.signing.keygen import generate
from tests.auditing.guessing import Haystack, confirmed, of_folder
from tests.auditing.scripted_project import jsonl, rows, said

LEAKED = ["zanzibar", "Marzipan7", "bandicoot", "swordfish9"]
NEARLY = ["rhododendron", "Chrysanthemum"]  # said with a letter changed
KEPT = ["hunter2hunter", "tr0ub4dor&3", "kumquats", "Übermäßig", "ocelot-71"]
TAGS = ["wombat-team", "Periwinkle"]
NEAR_DUPLICATES = ["gallimaufry", "gallimaufri"]
ALONE = ["xylophonist"]  # the one record of a file of its own
WITHIN = ["quokkas42", "vermicelli"]  # one word among others, in a question and in an answer
pytestmark = pytest.mark.slow
PLANTED = [*LEAKED, *NEARLY, *KEPT, *TAGS, *NEAR_DUPLICATES, *ALONE, *WITHIN]
DECOYS = ["armadillo", "tangerine", "correcthorse", "letmein99", "qwertyuiop", "clavichord", "Fuchsias", "dragonfly8"]
CONFIDENTIAL = ("evidence/", "audit.json", "report.html", "report.pdf", "report.annex.pdf")


@dataclass(frozen=True)
class Audited:
    """Two runs of one project, what was printed in the course of both, and what was written beside them."""

    runs: tuple[Path, Path]
    printed: str
    beside: str


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("project")
    _write(folder)
    keys = generate(folder / "keys")
    environment = {"AUDIT_KEY": str(keys.private)}
    printed = _auditkit(folder, environment, "check", "policy.yaml")
    printed += _auditkit(folder, environment, "register", "policy.yaml")
    printed += _auditkit(folder, environment, "run", "policy.yaml", "--verbose")
    (first,) = _runs(folder)
    printed += _auditkit(folder, environment, "check", "policy.yaml")  # now that there is a secret
    printed += _auditkit(folder, environment, "verify", str(first))
    _auditkit(folder, environment, "run", "policy.yaml", "--quiet", "--set", "report.formats=[json]")
    (second,) = _runs(folder) - {first}
    formats = ("--format", "html", "--format", "markdown", "--format", "json")
    printed += _auditkit(folder, environment, "diff", str(first), str(second), "--out", "moved", *formats)
    written = [folder / "reports" / "ledger.jsonl", *folder.glob("policy.registration*"), *(folder / "moved").iterdir()]
    assert len(written) == 5
    return Audited((first, second), printed, "\n".join(path.read_text() for path in written))


def _runs(folder: Path) -> set[Path]:
    return {path for path in (folder / "reports").iterdir() if path.is_dir()}


def _auditkit(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "auditkit", *arguments]
    repository = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (repository, os.environ.get("PYTHONPATH"))))
    given = {**os.environ, **environment, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3) and "Traceback" not in done.stderr, done.stderr
    return f"{done.stdout}\n{done.stderr}"


def _write(folder: Path) -> None:
    """Conversations with words among others; a list of single words; a file that holds one word and nothing else."""
    talk = rows(80, 1)
    talk[3]["q"] = f"My login is {WITHIN[0]}, what now?"
    talk[4]["a"] = f"Use {WITHIN[1]} for that."
    tagged = [{**row, "t": TAGS[at % 2]} for at, row in enumerate(talk)]
    jsonl(folder / "talk.jsonl", tagged)
    words = [*LEAKED, *NEARLY, *KEPT, *NEAR_DUPLICATES]
    made = _made_words(230)
    filler, controls = made[:60], made[60:]
    jsonl(folder / "words.jsonl", [{"q": word} for word in [*words, *filler]])
    jsonl(folder / "alone.jsonl", [{"q": ALONE[0]}])
    jsonl(folder / "controls.jsonl", rows(160, 2))
    jsonl(folder / "other.jsonl", [{"q": word} for word in controls])
    changed = [word.replace("o", "u").replace("a", "e") for word in NEARLY]
    one_word = [{"user": word, "assistant": "Noted."} for word in [*LEAKED, *changed, f"I said {LEAKED[0]} twice"]]
    jsonl(folder / "base.jsonl", said(rows(20, 7)))
    jsonl(folder / "script.jsonl", [*said(talk[:6]), *one_word])
    (folder / "policy.yaml").write_text(yaml.safe_dump(_policy()))


def _made_words(count: int) -> list[str]:
    """Words of one kind that no language has, none near another."""
    rng = random.Random(5)
    return ["".join(rng.choice("bdfglmnprstvz") + rng.choice("aeiou") for _ in range(5)) for _ in range(count)]


def _policy() -> dict[str, object]:
    def dataset(name: str, controls: str, **fields: str) -> dict[str, object]:
        return {"name": name, "stage": "sft", "path": f"{name}.jsonl", "controls": controls, "fields": fields}

    plain = {"prompt": "q"}
    return {
        "version": 1,
        "name": "scripted",
        "models": {
            "candidate": {"backend": "scripted", "path": "script.jsonl"},
            "base": {"backend": "scripted", "path": "base.jsonl"},
        },
        "datasets": [
            {
                **dataset("talk", "controls.jsonl", prompt="q", response="a", tags="t"),
                "controls_fields": {"prompt": "q", "response": "a"},
            },
            dataset("words", "other.jsonl", **plain),
            dataset("alone", "other.jsonl", **plain),
        ],
        "attacks": [
            {"kind": "template_prefix", "samples": 200, "max_new_tokens": 400, "seed": 1},
        ],
        "probes": [
            {"kind": "likelihood_shift"},
            {"kind": "extraction_probability"},
            {"kind": "canary_exposure", "in_dataset": False, "references": 200},
        ],
        "scoring": {"semantic_threshold": {"calibrate_fpr": 0.1}},
        "gate": [
            {
                "metric": "string_memorisation_rate",
                "attack": "template_prefix",
                "dataset": "words",
                "view": "prompt",
                "max": 0.05,
            }
        ],
        "report": {
            "formats": list(kinds("formats")),
            "sign": {"key": "env:AUDIT_KEY", "certificate": "keys/certificate.pem"},
        },
    }


def test_nothing_outside_the_evidence_confirms_a_word(audited: Audited) -> None:
    leaving = of_folder(audited.runs[0], CONFIDENTIAL, [audited.printed, audited.beside])
    assert confirmed([*PLANTED, *DECOYS], leaving) == {}


def test_what_leaves_is_all_that_a_run_writes(audited: Audited) -> None:
    """So that the test above looks at every format, and at a run in which words did leak."""
    names = {path.name for path in audited.runs[0].iterdir()}
    expected = {"policy.lock.yaml", "events.jsonl", "attestation.dsse.json", "results.sarif", "results.junit.xml"}
    assert {*expected, "report.redacted.html", "report.redacted.pdf", "audit.json"} <= names
    report = json.loads((audited.runs[0] / "audit.json").read_bytes())
    texts = {finding["record_text"] for finding in report["findings"]}
    assert set(LEAKED) <= texts and report["probes"] and report["attribution"]["groups"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("audit.json",), [*LEAKED, *TAGS, *WITHIN]),
        (("report.html",), [*LEAKED, *TAGS]),
        (("report.pdf",), LEAKED),
        (("evidence/run_state.json",), ALONE),  # the digest of a file of one record
    ],
)
def test_the_same_procedure_confirms_what_is_confidential(
    audited: Audited, files: tuple[str, ...], words: list[str]
) -> None:
    every = {path.relative_to(audited.runs[0]).as_posix() for path in audited.runs[0].rglob("*") if path.is_file()}
    left_out = every - set(files)
    found = confirmed([*PLANTED, *DECOYS], of_folder(audited.runs[0], sorted(left_out) or ["-"]))
    assert set(words) <= set(found)
    assert not set(DECOYS) & set(found)


@pytest.mark.parametrize("word", ["hunter2", "Übermäßig"])
def test_the_procedure_finds_every_spelling_and_digest(word: str) -> None:
    import base64
    import hashlib
    import html

    from auditkit.corpus.identity import content_bytes, content_digest
    from auditkit.corpus.merkle import leaf_hash

    line = json.dumps({"q": word}).encode() + b"\n"
    planted = [
        word.upper().encode(),
        word.encode("utf-16-be"),
        word.encode("utf-16-le"),
        word[::-1].encode(),
        base64.b64encode(b"xy" + word.encode() + b"z, and more"),
        base64.b64encode(base64.b64encode(b"before " + word.encode())),
        "".join(f"&#{ord(letter)};" for letter in word).encode(),
        html.escape(word).encode(),
        "".join(f"\\u{ord(letter):04x}" for letter in word).encode(),
        "".join(f"%{byte:02X}" for byte in word.encode()).encode(),
        word.encode().hex().upper().encode(),
        hashlib.sha256(line).hexdigest().encode(),
        hashlib.sha1(word.encode()).hexdigest()[:12].encode(),
        hashlib.md5(f"{word}\n".encode()).hexdigest().encode(),
        hashlib.blake2b(word.encode()).hexdigest().encode(),
        f"rec-{content_digest(word).hex()[:20]}".encode(),
        leaf_hash(b"", content_bytes(word)).hex().encode(),
        base64.b64encode(hashlib.sha512(word.encode()).digest()),
    ]
    for one in planted:
        assert confirmed([word], Haystack([b"before ", b"<" + one + b">", b" after"])), one
    assert not confirmed([word], Haystack([b"nothing of the kind", bytes(range(256)), os.urandom(100_000)]))


def test_no_attested_digest_can_be_made_again(audited: Audited) -> None:
    """Whoever knows all of a file but one word could try words against its digest, were there nothing random in it."""
    from auditkit.signing.attestation import read

    digests = [{subject.name: subject.digest.sha256 for subject in read(run).statement.subject} for run in audited.runs]
    same = {name for name, digest in digests[0].items() if digests[1].get(name) == digest}
    # What holds no text, no digest of one and no figure that hangs on one: the attacks' prefixes, keyed ids and places.
    assert {name for name in same if not name.startswith("evidence/removals-")} <= {
        "evidence/prefixes.json",
        "policy.lock.yaml",
        "registration.dsse.json",  # the very file that stands beside the policy
    }


def test_the_lock_says_whether_files_are_the_same_and_nothing_else(audited: Audited) -> None:
    first, second = (
        yaml.safe_load((run / "policy.lock.yaml").read_text())["locked"]["datasets"] for run in audited.runs
    )
    assert first == second
    assert all(digest.startswith("hmac-sha256:") for one in first.values() for digest in one["files"].values())
