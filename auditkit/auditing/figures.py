"""The data behind the report's figures: counts and points, no drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.context import Context
from auditkit.auditing.match import AttackMatches
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.texts import chosen_texts
from auditkit.corpus.identity import keyed_id
from auditkit.report.base import BandExample, Histogram, Scatter, ScatterPoint
from auditkit.scoring.matches import Band
from auditkit.scoring.matches import bands as random_pairs
from auditkit.scoring.strings.best import Measure, exact_similarities

BIN = 0.025

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Sample:
    """A random sample of the complete generations of one attack, with the texts that exact string scores need."""

    positions: npt.NDArray[np.int64]  # into the arrays of the matches
    texts: list[str]
    records: list[str]  # the nearest record by embedding of each


def draw_sample(context: Context, dataset: PreparedDataset, matches: AttackMatches) -> Sample:
    """The same sample in every run of the same policy."""
    usable = np.flatnonzero(matches.complete & (matches.record >= 0))
    random = np.random.default_rng([context.policy.seed, len(matches.complete)])
    size = context.policy.scoring.string_sample
    positions = np.sort(random.choice(usable, size=min(size, len(usable)), replace=False))
    texts = chosen_texts(context.run, matches.attack, dataset, matches.view, matches.ordinal[positions])
    return Sample(
        positions,
        [texts[int(ordinal)] for ordinal in matches.ordinal[positions]],
        [dataset.members.records[int(index)].view(matches.view) for index in matches.record[positions]],
    )


def histograms(dataset: PreparedDataset, matches: AttackMatches, sample: Sample) -> list[Histogram]:
    """Best embedding score of every complete generation; best string scores, exact at any height, of the sample."""
    index = dataset.string_index(matches.view)
    found = [_histogram(matches, "embedding_score", matches.score[matches.complete])]
    measures: tuple[Measure, ...] = ("levenshtein", "indel")
    found += [
        _histogram(matches, f"{measure}_similarity", index.best(sample.texts, measure, 0.0)[1]) for measure in measures
    ]
    return found


def _histogram(matches: AttackMatches, measure: str, values: Floats) -> Histogram:
    edges = np.linspace(0.0, 1.0, round(1 / BIN) + 1)
    counts, _ = np.histogram(np.clip(values, 0, 1), edges)
    return Histogram(
        dataset=matches.dataset,
        attack=matches.attack,
        view=matches.view,
        measure=measure,
        edges=[round(float(edge), 6) for edge in edges],
        counts=[int(count) for count in counts],
        sample=len(values),
    )


def scatter(matches: AttackMatches, sample: Sample, threshold: float | None) -> Scatter:
    """Embedding score against Levenshtein similarity to the same record [Barbero 2025, fig. 4]."""
    similarities = exact_similarities(sample.texts, sample.records, "levenshtein")
    points = [
        ScatterPoint(embedding=float(matches.score[position]), levenshtein=float(similarity), length=len(text))
        for position, similarity, text in zip(sample.positions, similarities, sample.texts, strict=True)
    ]
    return Scatter(
        dataset=matches.dataset, attack=matches.attack, view=matches.view, threshold=threshold, points=points
    )


def bands(context: Context, dataset: PreparedDataset, matches: AttackMatches) -> list[BandExample]:
    """Five random pairs from each 0.05 band of embedding score, as the paper's appendices show."""
    usable = np.where(matches.complete & (matches.record >= 0), matches.score, np.nan)
    chosen = [
        (band, int(position)) for band in random_pairs(usable, seed=context.policy.seed) for position in band.members
    ]
    ordinals = [int(matches.ordinal[position]) for _, position in chosen]
    texts = chosen_texts(context.run, matches.attack, dataset, matches.view, ordinals)
    return [
        _band(context, dataset, matches, band, position, texts[int(matches.ordinal[position])])
        for band, position in chosen
    ]


def _band(  # noqa: PLR0917 - a pair and where it stands
    context: Context, dataset: PreparedDataset, matches: AttackMatches, band: Band, position: int, text: str
) -> BandExample:
    record = dataset.members.records[int(matches.record[position])]
    ordinal = int(matches.ordinal[position])
    record_text = record.view(matches.view)
    return BandExample(
        dataset=dataset.name,
        attack=matches.attack,
        view=matches.view,
        low=band.low,
        high=band.high,
        score=float(matches.score[position]),
        levenshtein=float(exact_similarities([text], [record_text], "levenshtein")[0]),
        record=keyed_id(context.secret, "rec", f"{dataset.name}/{record.id}"),
        generation=keyed_id(context.secret, "gen", f"{matches.attack}/{ordinal:07d}"),
        record_text=record_text,
        generation_text=text,
    )
