"""Where a model lies is told as seen from its policy."""

from __future__ import annotations

from pathlib import Path

from auditkit import load_policy
from auditkit.auditing.runner import _as_declared

from ..engines.runs import project


def test_neither_a_models_place_nor_its_adapters_is_of_this_machine(tmp_path: Path) -> None:
    policy = load_policy(project(tmp_path / "project", {"kind": "local"}))
    folder = policy.source.file.parent
    assert _as_declared(f"{folder}/models/a", policy) == "models/a"
    assert _as_declared(f"{folder}/models/a with the adapter {folder}/lora", policy) == "models/a with the adapter lora"
    assert _as_declared("hub://org/name", policy) == "hub://org/name"
