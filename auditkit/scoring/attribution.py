"""Whose records leaked, and which to remove first: arrays in, arrays out.

A generation that reaches the threshold counts for the cluster of its best match alone. The other way would be a greedy
set cover: a generation is gone only when every record that it reaches is removed. That takes every pair of a generation
and a record at or above the threshold, which for a million of each cannot be kept, and it would let a record that is
merely on the same subject hold a removal back: what differs by no more than wording is one cluster already. With each
generation counted once, shares add up to 1. No other choice that removes as many records as the list does up to some
entry takes more risk away; one entry may hold many records, so that of equally many entries others may take away more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Index

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Leaks:
    """What leaked of one dataset, or of several end to end.

    ``clusters`` (records,) are labels from 0 up, and ``leaked`` (records,) marks the records that any generation
    covers. ``generation`` and ``record`` (hits,) are the generations that reach the threshold, each with its best match
    in a dataset; ``score`` (hits,) says how near.
    """

    clusters: Index
    leaked: Flags
    generation: Index
    record: Index
    score: npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Removals:
    """Clusters in the order of removal; all arrays are (removals,).

    ``cluster`` is its label and ``record`` the record in it that a generation matched best; ``records`` how many must
    be removed together, ``generations`` how many then lose their best match; ``risk_per_record`` their share of all
    hits, divided by ``records``; ``cumulative`` the share of this removal and of all before it.
    """

    cluster: Index
    record: Index
    records: Index
    generations: Index
    risk_per_record: Floats
    cumulative: Floats


@dataclass(frozen=True)
class GroupCounts:
    """(groups,) each: records, clusters and how many of them leaked; generations with their best match in the group."""

    records: Index
    records_leaked: Index
    clusters: Index
    clusters_leaked: Index
    generations: Index


def leaks(
    clusters: Index, covered: Flags, best: Index, score: npt.NDArray[np.floating[Any]], threshold: float
) -> Leaks:
    """The leaks of one dataset.

    Args:
        clusters: (records,) near-duplicate labels; any whole numbers.
        covered: (records,) which are covered by any generation of any attack.
        best: (generations,) each generation's nearest record, all attacks end to end; -1 where there is none.
        score: (generations,) how near.
        threshold: tau.
    """
    generation = np.flatnonzero((score >= threshold) & (best >= 0))
    record = best[generation]
    leaked = np.array(covered, np.bool_)
    leaked[record] = True  # the two searches round apart: what sits on the threshold must not leak for one alone
    labels = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    return Leaks(labels, leaked, generation, record, score[generation])


def end_to_end(parts: Sequence[Leaks]) -> Leaks:
    """Several datasets as one. Records and clusters stay apart; a generation is the same one in each of them."""
    records = np.cumsum([0, *(len(part.leaked) for part in parts)])
    clusters = np.cumsum([0, *(int(part.clusters.max(initial=-1)) + 1 for part in parts)])
    return Leaks(
        np.concatenate([part.clusters + start for part, start in zip(parts, clusters, strict=False)]),
        np.concatenate([part.leaked for part in parts]),
        np.concatenate([part.generation for part in parts]),
        np.concatenate([part.record + start for part, start in zip(parts, records, strict=False)]),
        np.concatenate([part.score for part in parts]),
    )


def removals(found: Leaks, chance: Floats | None = None) -> Removals:
    """The clusters of one dataset that any generation matched best, by risk per record.

    ``chance`` (records,): log10 of the probability that a generation is this record to the letter, where that was read,
    -inf elsewhere. Of clusters with equal risk the one with the likeliest record comes first, then the lowest record: a
    single generation may be chance, and a record that the model writes out with some probability is none.
    """
    sizes = np.bincount(found.clusters)
    hit = found.clusters[found.record]
    generations = np.bincount(hit, minlength=len(sizes))
    nearest = np.lexsort((found.record, -found.score))  # best first, so the first of a cluster is its best
    clusters, first = np.unique(hit[nearest], return_index=True)
    record = found.record[nearest][first]
    risk = generations[clusters] / sizes[clusters] / max(1, len(hit))
    likeliest = np.full(len(sizes), -np.inf)
    np.maximum.at(likeliest, found.clusters, np.zeros(len(found.clusters)) if chance is None else chance)
    order = np.lexsort((record, -likeliest[clusters], -risk))
    chosen = clusters[order]
    return Removals(
        cluster=chosen,
        record=record[order],
        records=sizes[chosen],
        generations=generations[chosen],
        risk_per_record=risk[order],
        cumulative=np.cumsum(generations[chosen]) / max(1, len(hit)),
    )


def cluster_records(clusters: Index, wanted: Index) -> Iterator[Index]:
    """(records of the cluster,) ascending, for each of these clusters in turn."""
    order = np.argsort(clusters, kind="stable")
    sorted_labels = clusters[order]
    starts, ends = np.searchsorted(sorted_labels, wanted, "left"), np.searchsorted(sorted_labels, wanted, "right")
    for start, end in zip(starts, ends, strict=True):
        yield order[start:end]


def group_counts(found: Leaks, record: Index, group: Index, groups: int) -> GroupCounts:
    """What leaked of each group of records.

    Args:
        found: the leaks.
        record: (pairs,) records, each as often as it has groups and never twice with one.
        group: (pairs,) a group of that record, from 0 to ``groups`` - 1.
        groups: how many there are.
    """
    order = np.argsort(record, kind="stable")
    record, group = record[order], group[order]
    leaked, cluster = found.leaked[record], found.clusters[record]
    return GroupCounts(
        records=np.bincount(group, minlength=groups),
        records_leaked=np.bincount(group[leaked], minlength=groups),
        clusters=_distinct(group, cluster, groups),
        clusters_leaked=_distinct(group[leaked], cluster[leaked], groups),
        generations=_distinct(*_groups_of_hits(found, record, group), groups),
    )


def _distinct(group: Index, member: Index, groups: int) -> Index:
    """(groups,) how many different members each group has."""
    width = int(member.max(initial=0)) + 1
    return np.bincount(np.unique(group * width + member) // width, minlength=groups).astype(np.int64)


def _groups_of_hits(found: Leaks, record: Index, group: Index) -> tuple[Index, Index]:
    """Every group of every hit's record, and the hit's generation. ``record`` is sorted."""
    first, end = np.searchsorted(record, found.record, "left"), np.searchsorted(record, found.record, "right")
    each = end - first
    skipped = np.repeat(first - (np.cumsum(each) - each), each)
    return group[skipped + np.arange(each.sum())], np.repeat(found.generation, each)
