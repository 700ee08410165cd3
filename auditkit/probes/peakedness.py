"""Contamination detection by output distribution (CDD): do samples crowd around the most likely reply [Dong 2024]?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from auditkit.models.base import Capability, Ids, LanguageModel, Likelihoods
from auditkit.probes.base import EMPTY, TOO_LONG, Evidence, ModelProbe, ProbeResult, RecordScores
from auditkit.probes.estimates import CLUSTERED_SHARE_METHOD, Scope
from auditkit.probes.sampled import SampledSide, auc_estimate, unscored
from auditkit.records import Estimate, Prefix, Sampler
from auditkit.report.base import Column, Table
from auditkit.statistics.clusters import share_interval
from auditkit.statistics.draws import derived_seed
from auditkit.statistics.roc import Interval

NAME = "peakedness"
NOTE = (
    "A negative control: the method was published for large models, and is near chance on small ones that saw their "
    "records only a few times. An AUC near one half says nothing of what was memorised."
)


class Peakedness(ModelProbe):
    """Per record the share of samples within a small edit distance of the greedy reply to its prompt.

    Published for benchmarks of large models. Here it is a negative control: small models come out near chance.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({"continuations"})
    likelihoods: ClassVar[Likelihoods] = "none"

    kind: Literal["peakedness"]
    records: Annotated[int, Field(ge=2, le=100_000, description="Members, and controls, drawn at random.")] = 50
    samples: Annotated[int, Field(ge=2, le=10_000, description="Replies to each prompt.")] = 50
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.8
    max_new_tokens: Annotated[int, Field(ge=1, le=4096, description="Tokens of a reply that count.")] = 100
    alpha: Annotated[float, Field(ge=0, lt=1, description="Edit distance, as a share of the longest reply.")] = 0.05
    flag: Annotated[float, Field(ge=0, lt=1, description="A record is flagged above this peakedness.")] = 0.01
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def observe(self, model: LanguageModel, evidence: Evidence) -> ProbeResult:
        members, controls = (self._measured(model, evidence, number) for number in (0, 1))
        scope = Scope(evidence.dataset, self.label)
        return ProbeResult(
            estimates=[
                self._flagged(scope, NAME, members),
                self._flagged(scope, f"{NAME}_controls", controls),
                auc_estimate(scope, f"{NAME}_auc", members, controls),
            ],
            scores=[RecordScores(NAME, members.per_record, controls.per_record)],
            tables=[self._table(members, controls)],
            notes=[NOTE],
            unscored=dict(unscored(members, controls)),
        )

    def _measured(self, model: LanguageModel, evidence: Evidence, number: int) -> SampledSide:
        found = SampledSide.draw(evidence.sides[number], self.records, evidence, self.label)
        prompts: dict[int, Prefix] = {}
        opening = model.opening()
        for index in found.drawn:
            text = found.side.records[index].prompt
            asked = model.asked(text, opening)
            if not text or len(asked.token_ids) + self.max_new_tokens > model.context:
                found.unscored[TOO_LONG if text else EMPTY] += 1
            else:
                prompts[index] = asked
        seed = derived_seed(NAME, self.seed, evidence.dataset, found.side.split)
        for index, (greedy, samples) in zip(prompts, self._replies(model, list(prompts.values()), seed), strict=True):
            found.values[index] = peak(greedy, samples, self.alpha)
        return found

    def _replies(self, model: LanguageModel, prompts: list[Prefix], seed: int) -> list[tuple[Ids, list[Ids]]]:
        """Of each prompt the greedy reply, and samples."""
        new = self.max_new_tokens
        greedy = model.complete(prompts, Sampler(0.0, max_new_tokens=new), seed)
        repeated = [prompt for prompt in prompts for _ in range(self.samples)]
        drawn = model.complete(repeated, Sampler(self.temperature, max_new_tokens=new), seed)
        n = self.samples
        return [(reply, drawn[n * row : n * (row + 1)]) for row, reply in enumerate(greedy)]

    def _flagged(self, scope: Scope, metric: str, side: SampledSide) -> Estimate:
        counts = {"denominator": float(side.kept.size), "unscored": side.unscored.total()}
        if not side.kept.size:
            return scope.undefined(metric, CLUSTERED_SHARE_METHOD, "no record could be asked", numerator=0.0, **counts)
        hits = side.kept > self.flag
        return scope.interval(
            metric,
            lambda: Interval(float(hits.mean()), *share_interval(hits, side.clusters)),
            CLUSTERED_SHARE_METHOD,
            numerator=float(hits.sum()),
            **counts,
        )

    def _table(self, members: SampledSide, controls: SampledSide) -> Table:
        rows: list[list[str | int | float | None]] = []
        for name, side in (("members", members), ("controls", controls)):
            kept = side.kept
            mean = float(kept.mean()) if kept.size else None
            rows.append([name, int(kept.size), int(np.sum(kept > self.flag)), mean])
        columns = [Column(name="records"), Column(name="scored", kind="count"), Column(name="flagged", kind="count")]
        columns.append(Column(name="mean peakedness", kind="percent"))
        return Table(title="Samples at the peak of the output distribution", columns=columns, rows=rows)


def peak(greedy: Sequence[int], samples: Sequence[Sequence[int]], alpha: float) -> float:
    """The share of samples within ``alpha`` times the longest sample's tokens of the greedy reply [Dong 2024, eq. 5].

    Args:
        greedy: token ids of the reply at temperature 0.
        samples: (samples, at least one) token ids of sampled replies.
        alpha: in [0, 1).

    The edit distance is Levenshtein's, by token.
    """
    from rapidfuzz.distance import Levenshtein

    reach = int(alpha * max(map(len, samples)) + 1e-9)  # 0.29 of 100 is 29
    reference = list(greedy)
    near = sum(Levenshtein.distance(reference, list(ids), score_cutoff=reach) <= reach for ids in samples)
    return near / len(samples)
