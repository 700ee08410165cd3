"""What a model that is only served cannot be asked, and what it must not be sent: said where the policy is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ValidationError

from auditkit.attacks.base import Attack
from auditkit.models.base import Likelihoods, ModelBackend
from auditkit.policy.yaml_source import Document, Keys, shown
from auditkit.probes.base import LikelihoodProbe, ModelProbe, Probe
from auditkit.registry import DISCRIMINATOR, Family, kinds, plugin_class

Complaint = tuple[Keys, str, str]  # where, what, what to do
JUDGE: Keys = ("worth", "filter", "judge", "model")
TOLD: tuple[Likelihoods, ...] = ("none", "given", "whole")


def served_complaints(document: Document) -> Iterator[Complaint]:
    """Everything that is wrong with the policy's served models."""
    candidate = _model(document, "candidate")
    if candidate is not None and candidate.reach != "open_weights":
        yield from _attacks(document, candidate)
        yield from _probes(document, candidate)
        yield from _mitigations(document, candidate)
    base = _model(document, "base")
    if base is not None and base.likelihoods != "whole" and base.reach != "open_weights":
        yield from _readings(document, base, "base")
    for role, backend in (("candidate", candidate), ("base", base)):
        if backend is not None and backend.external and sends_records(document.data, role):
            yield from _forbidding(document, role)
    yield from _judging(document)


def sends_records(data: dict[str, Any], role: str) -> bool:
    """Whether the policy has a model read, or complete, texts of the data; raw or validated sections alike."""
    sections = [section for family in ("attacks", "probes") for section in _listed(data, family)]
    if role == "base":
        return any(issubclass(found, Probe) for section in sections if (found := _class(section)))
    asked = any(_asks_of_records(section) for section in sections)
    return asked or bool(_listed(data, "mitigations"))  # whose costs are read off controls


def _asks_of_records(section: dict[str, Any]) -> bool:
    found = _class(section)
    return found is not None and (issubclass(found, Probe) or bool(getattr(found, "needs", ())))


def _attacks(document: Document, candidate: ModelBackend) -> Iterator[Complaint]:
    for position, section in enumerate(_listed(document.data, "attacks")):
        attack, keys = _validated("attacks", section), ("attacks", position, "kind")
        if not isinstance(attack, Attack):
            continue
        if not attack.can_be_made_by(candidate.reach):
            message = f"{attack.kind} writes the whole prompt, and this model is reached as {candidate.reach}"
            yield keys, message, "use kind: chat_messages, or a server with api: completions"
        elif not candidate.knows_template and _needs_template(attack, candidate):
            message = f"{attack.kind} starts from the model's own tokens, and the policy names no tokenizer"
            yield keys, message, "set models.candidate.tokenizer, or write the prefix out: literal_prefixes"
        if attack.top_k and not candidate.truncates:
            message = "the OpenAI API has no top_k, so the server would draw from another distribution"
            yield ("attacks", position, "top_k"), message, "leave top_k out, or set server: vllm where it is one"


def _needs_template(attack: Attack, candidate: ModelBackend) -> bool:
    if candidate.reach == "chat_api":
        return bool(getattr(attack, "spoof", False))
    by_hand = getattr(attack, "prefix", "auto") != "auto"
    openings = getattr(attack, "openings", ())
    literal = bool(openings) and "bos" not in openings and getattr(attack, "likely", None) is None
    return not (by_hand or literal)


def _probes(document: Document, candidate: ModelBackend) -> Iterator[Complaint]:
    yield from _readings(document, candidate, "candidate")
    for family in ("attacks", "probes"):
        for position, section in enumerate(_listed(document.data, family)):
            probe, keys = _class(section), (family, position, "kind")
            if probe is None or not issubclass(probe, ModelProbe):
                continue
            if TOLD.index(probe.likelihoods) > TOLD.index(candidate.likelihoods):
                yield keys, _untold(section["kind"], candidate), "declare logprobs, or leave it out"
            elif candidate.reach != "chat_api" and not candidate.knows_template:
                message = f"{section['kind']} asks through the chat template, and the policy names no tokenizer"
                yield keys, message, "set models.candidate.tokenizer"
    for position, section in enumerate(_listed(document.data, "attacks")):
        if section.get("likely") is not None and candidate.likelihoods == "none":
            message = "'likely' ranks openings by their probability, which this server does not tell"
            yield ("attacks", position, "likely"), message, "leave it out, or declare logprobs"


def _readings(document: Document, backend: ModelBackend, role: Literal["candidate", "base"]) -> Iterator[Complaint]:
    """Likelihood probes that ask more of this model than its server tells."""
    for position, section in enumerate(_listed(document.data, "probes")):
        probe = _validated("probes", section)
        if not isinstance(probe, LikelihoodProbe):
            continue
        readings = [reading for reading in probe.readings() if reading.role == role]
        whole = any(reading.moments or reading.sampled for reading in readings)
        needed: Likelihoods = "whole" if whole else ("given" if readings else "none")
        if TOLD.index(needed) > TOLD.index(backend.likelihoods):
            hint = "leave it out, or audit the weights" if whole else "declare logprobs, or leave it out"
            yield ("probes", position, "kind"), _untold(probe.kind, backend), hint


def _untold(kind: str, backend: ModelBackend) -> str:
    if backend.likelihoods == "none":
        return f"{kind} reads log-probabilities of given text, which this server does not tell"
    return f"{kind} needs the probability of all that could stand at each place, which no server tells"


def _mitigations(document: Document, candidate: ModelBackend) -> Iterator[Complaint]:
    if _listed(document.data, "mitigations") and candidate.likelihoods == "none":
        message = "what a mitigation costs is read off log-probabilities, which this server does not tell"
        yield ("mitigations",), message, "declare logprobs, or leave the mitigations out"


def _forbidding(document: Document, role: str) -> Iterator[Complaint]:
    """Texts of a dataset that must not leave the machine are not put to a model that is elsewhere."""
    for position, dataset in enumerate(_listed(document.data, "datasets")):
        if dataset.get("external_processing", "forbid") != "allow":
            keys: Keys = ("datasets", position, "external_processing")
            message = f"the {role} is asked texts of dataset {shown(str(dataset.get('name')))} over the network"
            hint = "leave out what asks of given records (probes, guided_completion, segmented_prefix, mitigations), "
            hint += "serve the model on this machine, or set external_processing: allow"
            yield keys if keys in document.places else ("datasets", position), message, hint


def _judging(document: Document) -> Iterator[Complaint]:
    """What the candidate wrote may hold texts of any of its data, so one forbidden dataset is enough."""
    judge: Any = document.data
    for key in JUDGE:
        judge = judge.get(key) if isinstance(judge, dict) else None
    backend = _validated("models", judge) if isinstance(judge, dict) else None
    if not isinstance(backend, ModelBackend):
        return
    if "continuations" not in backend.capabilities:
        yield JUDGE, f"the {backend.backend} backend cannot answer questions, as a judge must", "use transformers"
    elif backend.reach == "raw_api" and not backend.knows_template:
        message = "the judge is asked through its chat template, and the policy names no tokenizer"
        yield JUDGE, message, "use api: chat, or set worth.filter.judge.model.tokenizer"
    forbidding = [one for one in _listed(document.data, "datasets") if one.get("external_processing") != "allow"]
    if backend.external and forbidding:
        names = ", ".join(shown(str(one.get("name"))) for one in forbidding)
        message = f"the judge is sent what was extracted over the network, which {names} forbids"
        yield JUDGE, message, "judge with a model on this machine, or set external_processing: allow on every dataset"


def _model(document: Document, role: str) -> ModelBackend | None:
    models = document.data.get("models")
    section = models.get(role) if isinstance(models, dict) else None
    found = _validated("models", section) if isinstance(section, dict) else None
    return found if isinstance(found, ModelBackend) else None


def _validated(family: Family, section: dict[str, Any]) -> Any:
    """The section as its class has it; None where it is wrong, which the schema says."""
    found = _class(section, family)
    try:
        return found.model_validate(section) if found else None
    except ValidationError:
        return None


def _class(section: dict[str, Any], family: Family | None = None) -> Any:
    for one in (family,) if family else ("attacks", "probes"):
        kind = section.get(DISCRIMINATOR[one])
        if isinstance(kind, str) and kind in kinds(one):
            try:
                return plugin_class(one, kind)
            except (ImportError, AttributeError):
                return None
    return None


def _listed(data: dict[str, Any], family: str) -> list[dict[str, Any]]:
    listed = data.get(family)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
