"""A small finished run, as the runner writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from auditkit import strict_json
from auditkit.signing.attestation import attest
from auditkit.signing.event_chain import CLOSED, GENESIS, line_digest
from auditkit.signing.keys import SigningKeys
from auditkit.signing.pdf_signature import sign_pdf

MODEL = "a" * 64
TOKENIZER = "b" * 64
TEMPLATE = "c" * 64
CODE = "d" * 64
MERKLE = "e" * 64
POLICY = b"version: 1\nname: support-bot\n"


def event_lines(*events: str) -> list[bytes]:
    """Chained lines of an event log."""
    lines: list[bytes] = []
    for event in events:
        previous = line_digest(lines[-1]) if lines else GENESIS
        lines.append(json.dumps({"event": event, "prev": previous}, sort_keys=True).encode() + b"\n")
    return lines


def audit_result(signed: bool, outcome: str = "pass") -> dict[str, object]:
    """The parts of audit.json that an attestation repeats, with others around them."""
    return {
        "schema_version": "1.0",
        "run": {"id": "run-1", "started": "s", "finished": "2026-11-22T10:00:00Z", "auditkit_version": "0.1.0"},
        "provenance": {"code_sha256": CODE, "git_commit": "", "python": "3.11"},
        "policy": {"name": "support-bot", "sha256": hashlib.sha256(POLICY).hexdigest(), "text": "version: 1"},
        "models": [
            {
                "role": "candidate",
                "backend": "scripted",
                "sha256": MODEL,
                "tokenizer_sha256": TOKENIZER,
                "chat_template_sha256": TEMPLATE,
            }
        ],
        "datasets": [{"name": "sft", "merkle_root": MERKLE, "records": 100, "controls": 50, "stage": "sft"}],
        "verdict": {
            "outcome": outcome,
            "arm": "baseline",
            "rules": [{"rule": "coverage <= 0.01", "dataset": "sft", "outcome": outcome, "limit": 0.01}],
        },
        "signature": {"signed": signed, "label": "DEMO"},
    }


def predicate(lock: bytes, outcome: str = "pass", overrides: tuple[str, ...] = ()) -> dict[str, object]:
    """The predicate that fits ``audit_result``."""
    return {
        "run_id": "run-1",
        "finished": "2026-11-22T10:00:00Z",
        "auditkit_version": "0.1.0",
        "code_sha256": CODE,
        "git_commit": "",
        "policy": {
            "name": "support-bot",
            "sha256": hashlib.sha256(POLICY).hexdigest(),
            "lock_sha256": hashlib.sha256(lock).hexdigest(),
            "overrides": overrides,
        },
        "models": [
            {
                "role": "candidate",
                "sha256": MODEL,
                "tokenizer_sha256": TOKENIZER,
                "chat_template_sha256": TEMPLATE,
            }
        ],
        "datasets": [{"name": "sft", "merkle_root": MERKLE, "records": 100, "controls": 50}],
        "verdict": {
            "outcome": outcome,
            "arm": "baseline",
            "rules": [{"rule": "coverage <= 0.01", "dataset": "sft", "outcome": outcome}],
        },
    }


def write_run(
    folder: Path,
    pdf: bytes,
    keys: SigningKeys | None,
    outcome: str = "pass",
    timestamp: str | None = None,
    pdfs: Sequence[str] = ("report.pdf", "report.redacted.pdf"),
    **facts: object,
) -> Path:
    """A finished run in ``folder``."""
    lock = b"version: 1\nname: support-bot\nseed: 0\n"
    (folder / "evidence").mkdir(parents=True)
    (folder / "policy.lock.yaml").write_bytes(lock)
    (folder / "audit.json").write_bytes(strict_json.canonical(audit_result(keys is not None, outcome)))
    (folder / "report.html").write_text("<!doctype html><title>Audit</title>")
    (folder / "evidence" / "generations-template_prefix.parquet").write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1")
    (folder / "evidence" / "generations-template_prefix.parquet").chmod(0o600)
    for name in pdfs:
        (folder / name).write_bytes(pdf)
        if keys:
            sign_pdf(folder / name, keys, "Audit of support-bot", timestamp=timestamp)
    (folder / "events.jsonl").write_bytes(b"".join(event_lines("started", "sampled", CLOSED)))
    attest(folder, predicate(lock, outcome, **facts), keys)  # type: ignore[arg-type]
    return folder


def render_page() -> bytes:
    """A PDF page, rendered as reports are."""
    import weasyprint

    content: bytes = weasyprint.HTML(string="<title>Audit</title><h1>Audit</h1><p>The gate passed.").write_pdf()
    return content
