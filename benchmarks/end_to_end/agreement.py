"""Whether both sides score the same generations alike: auditkit's own, read from its evidence, by the peer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing import generations
from auditkit.auditing.run_folder import RunFolder, existing
from auditkit.records import View
from auditkit.scoring.strings.pairs import MEASURES, reaches
from benchmarks.end_to_end import naive
from benchmarks.end_to_end.sides import NaiveAudit, Ours

CLOSE = 1e-5  # what cosines of two float32 batches may differ by


@dataclass(frozen=True)
class Agreement:
    """Over every generation in every view of every dataset; all but the first and the largest difference should be 0.

    ``other_record``: nearest records that are others and score otherwise. ``other_string``: best string matches of
    another record or similarity, among those from the policy's floor up. ``other_rate``: rates with another numerator.
    """

    compared: int = 0
    largest_difference: float = 0.0
    other_record: int = 0
    other_string: int = 0
    other_rate: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        return Agreement(**{**sums, "largest_difference": max(self.largest_difference, other.largest_difference)})

    @property
    def same(self) -> bool:
        """Whether both sides found the same."""
        return self.largest_difference <= CLOSE and not (self.other_record or self.other_string or self.other_rate)

    def as_json(self) -> dict[str, Any]:
        """Its counts."""
        return asdict(self)


def agreement(ours: Ours, peer: NaiveAudit) -> Agreement:
    """Score auditkit's generations with the naive pipeline and compare match by match."""
    found = Agreement()
    for dataset, view in peer.texts:
        members = peer.embedder.embed(peer.texts[dataset, view].members)
        for attack, _, _ in peer.attacks:
            found += _of(ours, peer, (attack, dataset, view), members)
    return found


def _of(ours: Ours, peer: NaiveAudit, key: tuple[str, str, View], members: naive.Rows) -> Agreement:
    run = existing(ours.result.folder)
    matches = _matches(run, *key)
    texts = [each.view(key[2]) for batch in generations.read(run.generations_file(key[0])) for each in batch]
    queries = peer.embedder.embed(texts)
    nearest, strings = naive.nearest(queries, members), naive.string_matches(texts, peer.texts[key[1:]].members)
    # Where two records are as near as rounding can tell, either is the nearest.
    at_ours = np.einsum("nd,nd->n", queries, members[matches["record"]])
    other = (nearest["record"] != matches["record"]) & (np.abs(at_ours - nearest["score"]) > CLOSE)
    floor = peer.policy.scoring.string_floor
    return Agreement(
        compared=len(texts),
        largest_difference=float(np.abs(nearest["score"] - matches["score"]).max(initial=0)),
        other_record=int(other.sum()),
        other_string=sum(_other_strings(matches, strings, measure, floor) for measure in MEASURES),
        other_rate=_other_rates(ours, peer, key, matches, {**nearest, **strings}),
    )


def _matches(run: RunFolder, *key: str) -> naive.Found:
    """The columns of the evidence: what auditkit found for each generation."""
    import pyarrow.parquet as pq

    table = pq.read_table(run.matches_file(*key))
    return {name: table[name].to_numpy() for name in table.column_names}


def _other_strings(matches: naive.Found, strings: naive.Found, measure: str, floor: float) -> int:
    """Below the floor auditkit says only that there is none."""
    record, similarity = matches[f"{measure}_record"], matches[measure]
    reached = strings[measure] >= floor
    expected = np.where(reached, strings[f"{measure}_record"], -1), np.where(reached, strings[measure], 0.0)
    return int(((record != expected[0]) | (np.abs(similarity - expected[1]) > 1e-12)).sum())


def _other_rates(
    ours: Ours, peer: NaiveAudit, key: tuple[str, str, View], matches: naive.Found, scored: naive.Found
) -> int:
    """The rates of the report whose numerators the peer's scores do not give."""
    attack, dataset, view = key
    tau = next(one.threshold for one in ours.report.calibration if (one.dataset, one.view) == (dataset, view))
    bar = peer.policy.scoring.string_threshold
    expected: dict[str, npt.NDArray[np.bool_]] = {
        "string_memorisation_rate": reaches(scored["levenshtein"], bar),
        "string_memorisation_rate_indel": reaches(scored["indel"], bar),
    }
    if tau is not None:
        expected["semantic_memorisation_rate"] = scored["score"] >= tau
    said = {
        e.metric: e.numerator
        for e in ours.report.arms[0].estimates
        if (e.attack, e.dataset, e.view) == (attack, dataset, view) and e.numerator is not None
    }
    return sum(
        name in said and said[name] != float((hit & matches["complete"]).sum()) for name, hit in expected.items()
    )
