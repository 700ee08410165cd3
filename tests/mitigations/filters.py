"""A workshop around the quickstart's leaky model, or around any open model, for filters and limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.attacks.base import Attack
from auditkit.mitigations.base import Declared, Floats, Measure, Workshop
from auditkit.models.base import LanguageModel
from auditkit.models.transformers_backend import TransformersBackend
from auditkit.records import Generation, Record
from auditkit.registry import plugin_class
from tests.probes.quickstart import FOLDER, given_records

SECRET = b"a secret of the project"


def similarities(texts: Sequence[str], records: Sequence[str]) -> Floats:
    """(texts,) the best Levenshtein similarity to any record, 0 below one half."""
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    score = Levenshtein.normalized_similarity
    found: Floats = process.cdist(texts, records, scorer=score, score_cutoff=0.5, dtype=np.float64).max(1)
    return found


def workshop(
    folder: Path,
    members: Sequence[Record] | None = None,
    controls: Sequence[Record] | None = None,
    *,
    threshold: float | None = 0.9,
    model: Path = FOLDER / "models" / "leaky",
) -> Workshop:
    """Of one dataset, the quickstart's by default; ``similarity`` is Levenshtein's, whatever is asked for."""
    known = given_records("member") if members is None else members
    others = given_records("control") if controls is None else controls
    texts = [record.text for record in known]

    def similarity(_dataset: str, given: Sequence[str], _measure: Measure) -> Floats:
        return similarities(given, texts)

    section = {"backend": "transformers", "path": str(model), "dtype": "float32", "device": "cpu"}
    return Workshop(
        folder=folder,
        candidate=TransformersBackend.model_validate(section),
        base=None,
        datasets=[Declared("sft", "sft", known, others, np.arange(len(known)), threshold)],
        leaked=dict,
        similarity=similarity,
        open_for_training=lambda _: (None, None),
        seed=1,
        secret=SECRET,
    )


def mitigation(kind: str, **given: Any) -> Any:
    """A section of this kind."""
    return plugin_class("mitigations", kind).model_validate({"kind": kind, "name": kind, **given})


def attack(kind: str = "template_prefix", **given: Any) -> Attack:
    """An attack of a few samples."""
    settings = {"kind": kind, "name": kind, "samples": 24, "max_new_tokens": 160, "seed": 3, **given}
    made: Attack = plugin_class("attacks", kind).model_validate(settings)
    return made


def generations(attack: Attack, model: LanguageModel, batch: int = 64) -> list[Generation]:
    """Everything that an attack samples."""
    requests = attack.requests(attack.prefixes(model), batch)
    return [generation for request in requests for generation in attack.run(model, request)]


def recited(found: Sequence[Generation]) -> float:
    """The share of generations that are a quickstart record, to one letter in ten."""
    texts = [record.text for record in given_records("member")]
    return float((similarities([one.view("record") for one in found], texts) >= 0.9).mean())
