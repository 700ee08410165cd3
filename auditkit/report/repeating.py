"""What it takes to repeat an audit: which extras its models, formats and arms need."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.report.base import AuditReport

_TRAINED = {  # mitigations whose arms are trained here
    *("template_randomisation", "goldfish_loss", "prompt_loss_mask", "deduplication", "lora", "dp_sgd", "unlearning"),
}
_EMBEDDERS = {"sentence_transformers": "sentence-transformers", "gemini": "gemini"}


def extras(report: AuditReport) -> str:
    """What stands in the brackets of ``pip install auditkit[...]``, "pdf" at least: it also checks the signature."""
    return ",".join(dict.fromkeys(_extras(report)))


def _extras(report: AuditReport) -> Iterator[str]:
    if any(model.backend == "transformers" for model in report.models):
        yield "transformers"
    if any(model.backend == "vllm" for model in report.models):
        yield "vllm"
    yield "pdf"
    for entry in report.calibration:
        if entry.embedder in _EMBEDDERS:
            yield _EMBEDDERS[entry.embedder]
    if any(index.kind == "hnsw" for index in report.index):
        yield "hnsw"
    mitigations = {arm.mitigation for arm in report.arms}
    if mitigations & _TRAINED:
        yield "lab"
    if "dp_sgd" in mitigations:
        yield "dp"
    if any(model.signature.state == "verified" for model in report.models):
        yield "model-signing"
    if any(model.source.startswith("hub://") for model in report.models):
        yield "hub"
