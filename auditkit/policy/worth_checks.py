"""What ``worth`` refers to is there: a base to train, a dataset with controls, an attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auditkit.policy.plugin_facts import is_probe, lacking_to_train
from auditkit.policy.suggestions import did_you_mean
from auditkit.policy.yaml_source import Document, Keys, shown

Complaint = tuple[Keys, str, str]  # where, what, what to do
SECTION: Keys = ("worth",)


def worth_complaints(document: Document) -> Iterator[Complaint]:
    """Everything that is wrong with what the section refers to; nothing where there is none."""
    section = document.data.get("worth")
    if isinstance(section, dict):
        yield from _base(document)
        yield from _dataset(document, section)
        yield from _attack(document, section)


def _base(document: Document) -> Iterator[Complaint]:
    models = document.data.get("models")
    base = models.get("base") if isinstance(models, dict) else None
    if base is None:
        what = "`worth` trains the base model on what came out, and the policy declares none"
        yield SECTION, what, "declare models.base, or leave worth out"
    elif isinstance(base, dict) and lacking_to_train(base.get("backend")):
        what = (
            f"`worth` trains the base model, and the backend {shown(str(base.get('backend')))} has no weights to train"
        )
        yield ("models", "base", "backend"), what, "use backend: transformers for models.base"


def _dataset(document: Document, section: dict[str, Any]) -> Iterator[Complaint]:
    datasets = _named(document, "datasets")
    given = section.get("dataset")
    if isinstance(given, str):
        keys: Keys = ("worth", "dataset")
        found = [one for one in datasets if one.get("name") == given]
        if not found:
            names = [one["name"] for one in datasets if isinstance(one.get("name"), str)]
            yield keys, f"`worth.dataset`: {shown(given)} is no dataset of this policy", did_you_mean(given, names)
    else:
        keys = SECTION
        found = [one for one in datasets if one.get("stage") in ("sft", "rl")]
        if len(found) != 1:
            what = f"`worth` values the leak of one dataset, and {len(found) or 'none'} here are of stage sft or rl"
            yield keys, what, "name one: worth: {dataset: ...}"
            return
    for one in found[:1]:
        if not one.get("controls"):
            what = f"`worth` trains on as many controls, and dataset {shown(str(one.get('name')))} has none"
            yield keys, what, "give the dataset controls: records of the same kind that the model was never trained on"


def _attack(document: Document, section: dict[str, Any]) -> Iterator[Complaint]:
    given = section.get("attack")
    sampling = [one for one in _named(document, "attacks") if not is_probe(one.get("kind"))]
    names = [name for one in sampling for name in (one.get("name"), one.get("kind")) if isinstance(name, str)]
    if isinstance(given, str) and given not in names:
        what = f"`worth.attack`: {shown(given)} is no attack of this policy that samples from a prefix"
        yield ("worth", "attack"), what, did_you_mean(given, names)
    elif given is None and not any(one.get("kind") != "bos_prefix" for one in sampling):
        what = (
            "`worth` trains on what an attack brought up, and none of this policy's samples through the chat template"
        )
        yield SECTION, what, "add one: - {kind: template_prefix, samples: 1000}; or name one: worth: {attack: ...}"


def _named(document: Document, family: str) -> list[dict[str, Any]]:
    listed = document.data.get(family)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
