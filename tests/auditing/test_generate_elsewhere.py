"""Sampling by workers: whole audits on a cluster without processes, and what the driver reads of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditkit import audit, load_policy
from auditkit.models.scripted import ScriptedBackend

from ..engines.inline import InlineEngine
from ..engines.runs import folder_of, project
from ..models.remote.openai_server import MODEL, openai_server
from .scripted_project import rows, said


def audit_elsewhere(policy: Path) -> None:
    """An audit whose work is done by workers."""
    loaded = load_policy(policy)
    elsewhere = loaded.model_copy(update={"engine": InlineEngine(kind="local")})
    elsewhere._source = loaded._source
    audit(elsewhere, policy.parent / "reports")


def attacks(count: int) -> list[dict[str, Any]]:
    return [
        {"kind": "template_prefix", "name": f"a{seed}", "samples": 20, "max_new_tokens": 400, "seed": seed}
        for seed in range(count)
    ]


def test_weights_are_read_no_oftener_for_more_attacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    preflight = ScriptedBackend.preflight

    def counted(self: ScriptedBackend, role: str) -> Any:
        read.append(role)
        return preflight(self, role)

    monkeypatch.setattr(ScriptedBackend, "preflight", counted)
    for place, count in enumerate((1, 3)):
        policy = project(tmp_path / f"{count}", {"kind": "local"}, attacks=attacks(count))
        audit_elsewhere(policy)
        assert len(read) == place + 1


def test_a_served_model_is_asked_by_the_driver_and_the_run_says_so(tmp_path: Path) -> None:
    with openai_server([(line["user"], line["assistant"]) for line in said(rows(4, 1))]) as server:
        candidate = {"backend": "openai_compatible", "base_url": server.url, "model": MODEL, "api": "chat"}
        asking = [{"kind": "chat_messages", "samples": 8, "messages": ["Recite."]}]
        policy = project(tmp_path / "run", {"kind": "local"}, models={"candidate": candidate}, attacks=asking)
        audit_elsewhere(policy)
    [engine] = json.loads((folder_of(policy) / "audit.json").read_bytes())["provenance"]["engines"]
    assert engine == {"kind": "inline", "generate": "driver"}
