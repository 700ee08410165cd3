"""Texts of chosen generations, fetched from the evidence in one pass: a run is never held in memory whole."""

from __future__ import annotations

from collections.abc import Iterable

from auditkit.auditing import generations
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.run_folder import RunFolder
from auditkit.records import View


def chosen_texts(
    run: RunFolder, attack: str, dataset: PreparedDataset, view: View, ordinals: Iterable[int]
) -> dict[int, str]:
    """The texts of these generations as the dataset sees them, by ordinal."""
    wanted = set(map(int, ordinals))
    found: dict[int, str] = {}
    for chosen in generations.read(run.generations_file(attack), only=wanted, tokens=False):
        texts = dataset.seen_texts(chosen, view)
        found |= {generation.ordinal: text for generation, text in zip(chosen, texts, strict=True)}
    return found
