"""The leaked records with their best evidence, chosen by rule: one a near-duplicate cluster, highest score first,
datasets in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TypeVar

import numpy as np

from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.score import Scores
from auditkit.auditing.texts import chosen_texts
from auditkit.corpus.identity import keyed_id
from auditkit.report.base import Finding
from auditkit.report.scored import Span
from auditkit.scoring.matches import top_findings
from auditkit.scoring.strings.best import exact_similarities
from auditkit.scoring.strings.spans import SharedSpan, longest_run, shared_spans

MOST_SPANS = 500  # of one finding: more than any page marks


@dataclass(frozen=True)
class Findings:
    """What the report shows, and how many leaked clusters there are in all."""

    shown: list[Finding]
    total: int


@dataclass(frozen=True)
class Leak:
    """One leaked record: which, by which generation, and how near."""

    data: PreparedDataset
    record: int
    attack: str
    ordinal: int
    score: float


def findings(context: Context, scores: Scores) -> Findings:
    """The report's choice of the leaked records: the best of each dataset, then the second of each, and so on.

    A dataset with fewer leaks leaves its turns to the others, and wherever a page cuts the list, the cut is fair.
    """
    cap = context.policy.report.max_findings
    each = [_of_dataset(context, data, scores, cap) for data in context.datasets]
    chosen = list(islice(in_turn([leaks for leaks, _ in each]), cap))
    texts = _texts(context, chosen)
    shown = [_finding(leak, texts[leak.attack, leak.data.name][leak.ordinal], context.secret) for leak in chosen]
    return Findings(shown, sum(total for _, total in each))


_Item = TypeVar("_Item")


def in_turn(lists: Sequence[Sequence[_Item]]) -> Iterator[_Item]:
    """The first of each list, then the second of each, and so on, passing over those that are at their end."""
    for rank in zip_longest(*([(item,) for item in items] for items in lists), fillvalue=()):
        yield from (item for found in rank for item in found)


def _texts(context: Context, leaks: Sequence[Leak]) -> dict[tuple[str, str], dict[int, str]]:
    """The generations of these leaks, by attack and dataset; each file of evidence is read once."""
    wanted: dict[tuple[str, str], list[Leak]] = {}
    for leak in leaks:
        wanted.setdefault((leak.attack, leak.data.name), []).append(leak)
    return {
        key: chosen_texts(context.run, key[0], some[0].data, some[0].data.views[0], [leak.ordinal for leak in some])
        for key, some in wanted.items()
    }


def _of_dataset(context: Context, data: PreparedDataset, scores: Scores, cap: int) -> tuple[list[Leak], int]:
    """Best evidence over all attacks, and how much there is; whole records where there are any, else prompts."""
    view = data.views[0]
    names = [attack.label for attack in context.policy.prefix_attacks]
    members = [scores.coverage[name, data.name, view].members for name in names]
    best = np.stack([side.best_score for side in members])
    attack = best.argmax(axis=0)  # ties to the attack that the policy names first
    records = np.arange(best.shape[1])
    generation = np.stack([side.best_index for side in members])[attack, records]
    threshold = scores.calibrations[data.name, view].threshold
    top = top_findings(best[attack, records], generation, data.clusters, threshold, cap)
    leaks = [
        Leak(data, int(record), names[attack[record]], int(ordinal), float(score))
        for record, ordinal, score in zip(top.record, top.generation, top.score, strict=True)
    ]
    return leaks, top.total


def _finding(leak: Leak, text: str, secret: bytes) -> Finding:
    data, view = leak.data, leak.data.views[0]
    record = data.members.records[leak.record]
    generation = f"{leak.attack}/{leak.ordinal:07d}"
    run = longest_run(record.view(view), text)
    return Finding(
        id=keyed_id(secret, "find", f"{data.name}/{record.id}/{generation}"),
        dataset=data.name,
        record=keyed_id(secret, "rec", f"{data.name}/{record.id}"),
        generation=keyed_id(secret, "gen", generation),
        generation_id=generation,
        record_index=leak.record,
        view=view,
        measure="embedding_score",
        score=leak.score,
        levenshtein=float(exact_similarities([text], [record.view(view)])[0]),
        record_text=record.view(view),
        generation_text=text,
        file=record.file,
        line=record.line,
        spans=[_span(shared) for shared in shared_spans(record.view(view), text)[:MOST_SPANS]],
        longest_match=run.share,
        longest_match_tokens=run.tokens,
        record_tokens=run.of,
    )


def _span(shared: SharedSpan) -> Span:
    return Span(record_start=shared.record_start, generation_start=shared.generation_start, length=shared.length)
