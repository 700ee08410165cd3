"""The scoring stage: embed, calibrate, match every generation with every dataset, and keep what was found on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.calibrate import DatasetCalibration, calibrate_dataset
from auditkit.auditing.context import Context
from auditkit.auditing.cover import SideCoverage, read_coverage
from auditkit.auditing.embedding import opened_embedding
from auditkit.auditing.match import AttackMatches, match_attack
from auditkit.auditing.nearest import SideIndexes
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import single
from auditkit.auditing.sides import Sides
from auditkit.auditing.string_matches import StringMatching
from auditkit.auditing.thresholds import ThresholdHits, stored_threshold_hits
from auditkit.auditing.vectors import in_batches, stored_vectors
from auditkit.corpus.base import Corpus
from auditkit.records import View
from auditkit.scoring.base import Vectors
from auditkit.scoring.embedders.embedding import EmbeddingCounts, TextEmbedding


@dataclass(frozen=True)
class Scores:
    """What the scoring stage found, by dataset and view, and by attack, dataset and view."""

    calibrations: dict[tuple[str, View], DatasetCalibration] = field(default_factory=dict)
    matches: dict[tuple[str, str, View], AttackMatches] = field(default_factory=dict)
    coverage: dict[tuple[str, str, View], SideCoverage] = field(default_factory=dict)
    thresholds: dict[tuple[str, str, View], ThresholdHits] = field(default_factory=dict)  # of each first view
    embedded: EmbeddingCounts = field(default_factory=EmbeddingCounts)


Calibrations = Mapping[tuple[str, View], DatasetCalibration]


def score(context: Context, calibrated: Calibrations | None = None) -> Scores:
    """Score every attack's generations against every dataset, view by view.

    ``calibrated``: thresholds that were set already; they hang on data and embedder alone, not on what is attacked.
    """
    with (
        opened_embedding(
            context.policy, context.secret, context.log, context.progress, context.workers("embed")
        ) as embedding,
        StringMatching(context) as strings,
    ):
        found = _scored(context, embedding, strings, calibrated or {})
    context.log.append("embedded", **asdict(embedding.counts))
    return replace(found, embedded=embedding.counts)


def _scored(context: Context, embedding: TextEmbedding, strings: StringMatching, calibrated: Calibrations) -> Scores:
    found = Scores()
    for dataset in context.datasets:
        for view in dataset.views:
            sides = _sides(context, embedding, dataset, view)
            calibration = calibrated.get((dataset.name, view)) or _calibrated(context, sides)
            found.calibrations[dataset.name, view] = calibration
            indexes = SideIndexes(context, sides)
            for attack in context.policy.prefix_attacks:
                key = (attack.label, dataset.name, view)
                queries = _generation_vectors(context, embedding, attack, dataset, view)
                found.matches[key] = match_attack(
                    context, attack.label, indexes, queries, calibration.threshold, strings
                )
                found.coverage[key] = read_coverage(context.run.coverage_file(*key))
                if view == dataset.views[0]:
                    hits = stored_threshold_hits(context, found.matches[key], sides, queries, calibration.threshold)
                    found.thresholds[key] = hits
                context.log.append("matched", arm=context.arm, attack=attack.label, dataset=dataset.name, view=view)
    return found


def _calibrated(context: Context, sides: Sides) -> DatasetCalibration:
    with single(context.progress, f"calibrate on {sides.dataset.name}, {sides.view}"):
        found = calibrate_dataset(context.policy, sides)
    name, source = sides.dataset.name, found.calibration.source
    context.log.append("calibrated", dataset=name, view=sides.view, source=source)
    return found


def _sides(context: Context, embedding: TextEmbedding, dataset: PreparedDataset, view: View) -> Sides:
    members = data_vectors(context, embedding, dataset, view, dataset.members)
    return Sides(
        dataset, view, members, data_vectors(context, embedding, dataset, view, dataset.controls), embedding.embed
    )


def data_vectors(
    context: Context, embedding: TextEmbedding, dataset: PreparedDataset, view: View, corpus: Corpus
) -> Vectors:
    """(records, d) vectors of one side of a dataset, the same for every arm."""
    texts = corpus.texts(view)
    path = context.run.shared_work / f"vectors-data+{dataset.name}+{corpus.split}+{view}.npy"

    def name(position: int) -> str:
        return f"the record at {corpus.records[position].file}:{corpus.records[position].line}"

    with context.progress.stage(f"embed {dataset.name} {corpus.split}s, {view}", len(texts), "texts") as stage:
        return stored_vectors(path, len(texts), in_batches(texts), embedding, name=name, stage=stage)


def _generation_vectors(
    context: Context, embedding: TextEmbedding, attack: Attack, dataset: PreparedDataset, view: View
) -> Vectors:
    """Embedded once an attack and view, and again only where a dataset's trace markers change the text."""
    suffix = f"+{dataset.name}" if dataset.trace else ""
    path = context.run.work / f"vectors-generations+{attack.label}+{view}{suffix}.npy"
    read = generations.read(context.run.generations_file(attack.label), tokens=False)
    batches = (dataset.seen_texts(batch, view) for batch in read)

    def name(ordinal: int) -> str:
        return f"generation {ordinal} of {attack.label}"

    with context.progress.stage(f"embed {attack.label}, {view}", attack.samples, "texts") as stage:
        return stored_vectors(path, attack.samples, batches, embedding, name=name, stage=stage)
