from __future__ import annotations

from typing import Any

from auditkit.auditing.open_model import OpenModel
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import LanguageModel
from auditkit.models.scripted import ScriptedBackend


def test_an_attacker_meets_the_server_and_a_probe_the_weights(monkeypatch: Any) -> None:
    opened: list[LanguageModel] = []
    once = ScriptedBackend.open

    def counted(self: ScriptedBackend, role: str) -> LanguageModel:
        opened.append(once(self, role))
        return opened[-1]

    monkeypatch.setattr(ScriptedBackend, "open", counted)
    backend = ScriptedBackend.model_validate({"backend": "scripted", "lines": [{"user": "a", "assistant": "b"}]})
    with OpenModel(backend, "candidate", ServedModel) as candidate:
        assert not opened
        weights, served = candidate.weights, candidate.model
        assert isinstance(served, ServedModel) and served.inner is weights is candidate.weights
        assert candidate.model is served
    assert opened == [weights]
