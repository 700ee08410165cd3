from __future__ import annotations

from typing import Any

from auditkit.auditing.open_model import OpenModel
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import LanguageModel
from auditkit.models.scripted import ScriptedBackend


def test_a_probe_reads_what_an_attacker_meets_or_the_weights_alone(monkeypatch: Any) -> None:
    opened: list[LanguageModel] = []
    once = ScriptedBackend.open

    def counted(self: ScriptedBackend, role: str) -> LanguageModel:
        opened.append(once(self, role))
        return opened[-1]

    monkeypatch.setattr(ScriptedBackend, "open", counted)
    backend = ScriptedBackend.model_validate({"backend": "scripted", "lines": [{"user": "a", "assistant": "b"}]})
    with OpenModel(backend, "candidate", ServedModel, probed_bare=True) as candidate:
        assert not opened
        probed, served = candidate.probed, candidate.model
        assert isinstance(served, ServedModel) and served.inner is probed is candidate.probed
        assert candidate.model is served
    assert opened == [probed]
    with OpenModel(backend, "candidate", ServedModel) as candidate:
        assert candidate.probed is candidate.model
