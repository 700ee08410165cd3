"""Whom the audit stands in for: who attacks, with what access and knowledge, and how much they may ask."""

from __future__ import annotations

from auditkit.report.base import AuditReport

_WHO = {
    "open-weights": "Anybody at all: the weights are to be published, and nobody can be kept from running them.",
    "api": "Whoever may use the interface (API): an account, or somebody else's, is all it takes.",
    "raw-api": "Whoever may use the interface that completes texts (raw API).",
    "chat-api": "Whoever may use the interface that takes messages (chat API).",
}
_ACCESS_OF_AUDIT = (
    "The weights, on the auditor's machine: every token of the prefix is chosen, the sampler is set freely, and "
    "nothing limits how often the model is asked."
)
_LESS = (
    " The release gives less than that, so that the figures of the baseline are an upper estimate for these attacks."
)
_ABSTAINS = (
    "They train nothing, change no weight, and see no training log. The same seeds draw the same generations again."
)


def attacker_rows(report: AuditReport) -> list[tuple[str, str]]:
    """(heading, sentences) for the page."""
    weights = report.release.access == "open-weights"
    return [
        ("Who it is", _WHO.get(report.release.access, f"Whoever is given access: {report.release.access}.")),
        ("Access in this audit", _ACCESS_OF_AUDIT + ("" if weights else _LESS)),
        ("What they know", _knowledge(report)),
        ("What they do not do", _ABSTAINS),
    ]


def _knowledge(report: AuditReport) -> str:
    said = ["The model's chat template and special tokens, which are published with it; no record of the data."]
    if report.probes:
        said.append(
            "Probes and attacks on given records know the records they ask about: they answer what the model holds, "
            "not what somebody without the data could get."
        )
    if any("adaptive" in arm.attack_kinds.values() for arm in report.arms):
        said.append("On mitigated arms a second attacker also knows which mitigation it is, with its parameters.")
    return " ".join(said)
