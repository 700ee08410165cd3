"""bom.cdx.json: a CycloneDX 1.6 ML-BOM of the audited models and datasets, with licences and hashes.

Written by hand: cyclonedx-python-lib has no model cards and no data components yet. The tests hold every file to its
strict validator. Models carry plain SHA-256; of the data there is only the blinded Merkle root, since the digest of a
text would let anybody confirm a guess of it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid5

from auditkit.files import write_bytes
from auditkit.records import ModelIdentity
from auditkit.report.base import AuditReport, DatasetInfo, ReportFormat
from auditkit.report.bom_audit import audit_properties, metrics, properties
from auditkit.report.licences import licences
from auditkit.report.safe_text import safe_line, safe_tree

FILE_NAME = "bom.cdx.json"
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_RUNS = UUID("3b0f5a52-6d53-4c9c-9a0e-5f1d0c7f2e11")  # in which a run's id has its serial number
_MERKLE = (
    "Root of the RFC 6962 tree over the records, each leaf blinded by a nonce of its own: it fixes the dataset, and "
    "confirms no guess of a record to anybody without the project's secret."
)
_MODEL_DIGEST = "The digest of the whole model that the attestation names and that auditkit verify --model compares."

_ADDRESS_DIGEST = "The digest of the address and the name that the model is served under: the weights were not seen."


class CyclonedxFormat(ReportFormat):
    """A bill of materials of the audited models and datasets, for those who keep one of everything that ships."""

    kind: Literal["cyclonedx"] = "cyclonedx"
    textless = (FILE_NAME,)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write bom.cdx.json."""
        content = json.dumps(safe_tree(_bom(report)), ensure_ascii=False, indent=1, allow_nan=False, sort_keys=True)
        return [write_bytes(folder / FILE_NAME, content.encode() + b"\n")]


def _bom(report: AuditReport) -> dict[str, Any]:
    """The candidate is what the file describes; base model and datasets are its components."""
    candidate, others = _split(report)
    datasets = [_dataset(dataset) for dataset in report.datasets]
    components = [*(_model(model) for model in others), *datasets]
    depends = [component["bom-ref"] for component in components]
    subject = _with_card(_model(candidate), candidate, report) if candidate else None
    refs = [*([subject["bom-ref"]] if subject else []), *depends]
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(_RUNS, f'{report.run.id}/{report.policy.sha256}')}",
        "version": 1,
        "metadata": _metadata(report, subject),
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": depends if subject and ref == refs[0] else []} for ref in refs],
        # What the policy declares is here; whether a model was trained on more, nobody can tell from it.
        "compositions": [{"aggregate": "unknown", "dependencies": refs}],
        "properties": audit_properties(report),
    }


def _split(report: AuditReport) -> tuple[ModelIdentity | None, list[ModelIdentity]]:
    candidate = next((model for model in report.models if model.role == "candidate"), None)
    return candidate, [model for model in report.models if model is not candidate]


def _metadata(report: AuditReport, subject: dict[str, Any] | None) -> dict[str, Any]:
    tool = {"type": "application", "name": "auditkit", "version": safe_line(report.run.auditkit_version)}
    found: dict[str, Any] = {"tools": {"components": [tool]}}
    if _MOMENT.fullmatch(report.run.finished):
        found["timestamp"] = report.run.finished
    if report.release.auditor:
        found["authors"] = [_contact(report.release.auditor)]
    if report.release.organisation:
        found["supplier"] = {"name": safe_line(report.release.organisation)}
    return found | ({"component": subject} if subject else {})


def _model(model: ModelIdentity) -> dict[str, Any]:
    """A model with every file that makes it up."""
    ref = f"model:{safe_line(model.role)}:{safe_line(model.sha256)[:16]}"
    files = [
        {
            "type": "file",
            "bom-ref": f"{ref}/{number}",
            "name": safe_line(name),
            **({"hashes": [{"alg": "SHA-256", "content": digest}]} if _SHA256.fullmatch(digest) else {}),
        }
        for number, (name, digest) in enumerate(sorted(model.files.items()), 1)
    ]
    facts = {
        "role": model.role,
        "model:sha256": model.sha256,
        "model:sha256:meaning": _ADDRESS_DIGEST if model.weights == "unseen" else _MODEL_DIGEST,
        "model:chat-template-sha256": model.chat_template_sha256,
        "model:tokenizer-sha256": model.tokenizer_sha256,
        "model:parameters": str(model.parameters) if model.parameters else "",
        "model:backend": model.backend,
        "model:dtype": model.dtype,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": _name(model),
        "version": safe_line(model.sha256)[:16],
        **({"licenses": found} if (found := licences(model.licence)) else {}),
        **({"components": files} if files else {}),
        "properties": properties(facts),
    }


def _name(model: ModelIdentity) -> str:
    """The last part of where the model lies; of a hub model all of it. No path of the auditor's machine."""
    name = model.source if "://" in model.source else model.source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return safe_line(name) or safe_line(model.role)


def _with_card(component: dict[str, Any], model: ModelIdentity, report: AuditReport) -> dict[str, Any]:
    parameters: dict[str, Any] = {"datasets": [{"ref": _dataset_ref(dataset)} for dataset in report.datasets]}
    if model.architecture:
        parameters["modelArchitecture"] = safe_line(model.architecture)
    card = {"modelParameters": parameters, "quantitativeAnalysis": {"performanceMetrics": metrics(report)}}
    return component | {"modelCard": card}


def _dataset(dataset: DatasetInfo) -> dict[str, Any]:
    data: dict[str, Any] = {
        "type": "dataset",
        "name": safe_line(dataset.name),
        "classification": safe_line(dataset.classification),
    }
    if dataset.owner:
        data["governance"] = {"owners": [{"contact": _contact(dataset.owner)}]}
    facts = {
        "dataset:stage": dataset.stage,
        "dataset:records": str(dataset.records),
        "dataset:controls": str(dataset.controls),
        "dataset:external-processing": dataset.external_processing,
        "dataset:merkle-root": dataset.merkle_root,
        "dataset:merkle-root:meaning": _MERKLE,
    }
    return {
        "type": "data",
        "bom-ref": _dataset_ref(dataset),
        "name": safe_line(dataset.name),
        **({"licenses": found} if (found := licences(dataset.licence)) else {}),
        "data": [data],
        "properties": properties(facts),
    }


def _dataset_ref(dataset: DatasetInfo) -> str:
    return f"dataset:{safe_line(dataset.name)}"


def _contact(who: str) -> dict[str, str]:
    """A person or office, as the policy names it."""
    address = who.count("@") == 1 and who.isascii() and not set(who) & set(" <>,;\"'()") and not who.startswith("@")
    return {"email": safe_line(who)} if address and not who.endswith("@") else {"name": safe_line(who)}
