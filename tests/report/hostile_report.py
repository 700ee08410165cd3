"""A report with one hostile text in every place that a policy, a dataset or a model can reach."""

from __future__ import annotations

from auditkit.report.base import AuditReport, ReleaseInfo, SignatureInfo, Verdict
from tests.report.builder import rule, small_report, with_texts
from tests.report.curves import with_curves


def hostile_report(text: str) -> AuditReport:
    """Texts, names, reasons, provenance and labels of charts, all of them ``text``."""
    report = with_curves(with_texts(small_report(), f"{text} {text}", text))
    hostile = rule("fail", text, 0.5, 0.01, reason=text, rule=text, attack=text)
    prefix = report.attacks[0].prefixes[0].model_copy(update={"text": text, "name": text, "note": text})
    names = {"name": text, "prefixes": [prefix], "parameters": {text: text}}
    evidence = {"dataset": text, "file": text, "measure": text, "generation_id": text}
    scatter = report.figures.scatters[0].model_copy(update={"attack": text, "dataset": text})
    curves = [curve.model_copy(update={"attack": text, "dataset": text}) for curve in report.thresholds[:2]]
    return report.model_copy(
        update={
            "verdict": Verdict(outcome="fail", arm="baseline", rules=[hostile], cautions=[text]),
            "release": ReleaseInfo(organisation=text, auditor=text, access=text, arm=text),
            "policy": report.policy.model_copy(update={"name": text, "text": text, "weaker_than_preset": [text]}),
            "signature": SignatureInfo(signed=True, label=text, certificate_subject=text),
            "provenance": {text: {text: [text, {text: text}]}},
            "attacks": [report.attacks[0].model_copy(update=names)],
            "datasets": [each.model_copy(update={"name": text, "owner": text}) for each in report.datasets],
            "limits": [text],
            "figures": report.figures.model_copy(update={"scatters": [scatter]}),
            "findings": [finding.model_copy(update=evidence) for finding in report.findings],
            "thresholds": curves,
        }
    )
