"""What an output filter costs: outputs that it stops for nothing, and time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from auditkit.mitigations.base import Declared
from auditkit.models.base import LanguageModel
from auditkit.records import Estimate, Record, Sampler, SamplingRequest
from auditkit.statistics.draws import derived_seed, seeded_sample
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.means import t_interval

REPETITIONS = 6  # turns about, after one that nobody counts
SAMPLES, TOKENS = 16, 32  # of each generation that is timed


def false_block_share(
    dataset: Declared, stops: Callable[[Sequence[Record]], npt.NDArray[np.bool_]], records: int, seed: int
) -> Estimate:
    """The share of controls, texts that nobody was trained on, that a filter would stop.

    Args:
        dataset: with its controls.
        stops: whether the filter would stop each record's own text, (records,).
        records: controls drawn at most.
        seed: of the draw.
    """
    drawn = seeded_sample(len(dataset.controls), records, derived_seed("false blocks", seed, dataset.name))
    chosen = [dataset.controls[at] for at in drawn.tolist()]
    hits, trials = (int(stops(chosen).sum()), len(chosen)) if chosen else (0, 0)
    low, high = clopper_pearson(hits, trials) if trials else (None, None)
    return Estimate(
        metric="false_block_share",
        dataset=dataset.name,
        attack="",
        value=hits / trials if trials else None,
        low=low,
        high=high,
        method="Clopper-Pearson, over controls",
        numerator=hits,
        denominator=trials,
        reason="" if trials else "the dataset has no controls",
    )


def latency_ratio(plain: LanguageModel, served: LanguageModel, seed: int) -> Estimate:
    """Time a token with the filter over time a token without, both on this machine, in turn.

    The geometric mean of paired repetitions with Student's interval on the log scale. Numerator and denominator are
    milliseconds a token with and without, of a batch of 16 samples; a withheld output's tokens are those that were
    made.
    """
    seeds = [derived_seed("latency", seed, turn) for turn in range(REPETITIONS + 1)]
    pairs = [(_timed(served, one, plain), _timed(plain, one, plain)) for one in seeds][1:]
    if any(tokens == 0 for pair in pairs for _, tokens in pair):
        return _ratio(None, None, None, "the model wrote no token")
    paces = np.array([[1000 * seconds / tokens for seconds, tokens in pair] for pair in pairs])
    logs = np.log(paces[:, 0] / paces[:, 1]).tolist()
    low, high = t_interval(logs)
    return _ratio(math.exp(math.fsum(logs) / len(logs)), (math.exp(low), math.exp(high)), paces.mean(0), "")


def _timed(model: LanguageModel, seed: int, plain: LanguageModel) -> tuple[float, int]:
    """Seconds of one short generation, and its tokens."""
    request = SamplingRequest("latency", plain.opening(), Sampler(max_new_tokens=TOKENS), SAMPLES, seed, 0)
    began = time.perf_counter()
    found = model.sample(request)
    took = time.perf_counter() - began
    if any(generation.finish == "blocked" for generation in found):
        found = plain.sample(request)  # the same seed: what was withheld
    return took, sum(len(generation.token_ids) for generation in found)


def _ratio(
    value: float | None, ends: tuple[float, float] | None, paces: npt.NDArray[np.float64] | None, reason: str
) -> Estimate:
    return Estimate(
        metric="latency_ratio",
        dataset="",
        attack="",
        value=value,
        low=ends[0] if ends else None,
        high=ends[1] if ends else None,
        method=f"geometric mean of {REPETITIONS} paired repetitions, Student's t of the logs; ms a token",
        numerator=None if paces is None else float(paces[0]),
        denominator=None if paces is None else float(paces[1]),
        reason=reason,
    )
