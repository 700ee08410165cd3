"""What a mitigation costs: how well the model still reads and answers controls, which no arm was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.auditing.context import Context
from auditkit.auditing.lm_evaluation import LmScores, lm_eval_estimates, lm_eval_scores
from auditkit.auditing.prepare import PreparedDataset
from auditkit.corpus.trace import final_answer
from auditkit.files import write_bytes
from auditkit.models.base import LanguageModel
from auditkit.records import Estimate, Record, Sampler
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.paired import bootstrap_mean
from auditkit.statistics.roc import UndefinedError

PERPLEXITY = "exp of mean nats a token over controls' answers given their questions; bootstrap by record"
CLOPPER_PEARSON = "Clopper-Pearson"
TOO_FEW = "fewer than two controls of this dataset could be read"
MOST_UNREAD = 0.05  # of the controls
MOST_NATS = 700.0  # a token: beyond it a perplexity is no float64

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Read:
    """Of one dataset's chosen controls, in one order for every arm: nats and tokens of each answer, and whether the
    answer that the model gave was right. None where it could not be read, or was not asked."""

    dataset: str
    nats: list[float | None]
    tokens: list[int]
    right: list[bool | None] = field(default_factory=list)


@dataclass(frozen=True)
class Utility:
    """What one arm's utility was measured to be."""

    read: list[Read]
    tasks: list[LmScores]
    own: list[Estimate]  # what only this mitigation costs

    def estimates(self, seed: int) -> list[Estimate]:
        """Every figure with its interval."""
        found = [estimate for one in self.read for estimate in _of_dataset(one, seed)]
        return [*found, *lm_eval_estimates(self.tasks, seed), *self.own]


def measured_utility(context: Context, model: LanguageModel, own: Sequence[Estimate]) -> Utility:
    """Read and ask the same controls as every other arm."""
    read = [_read(context, model, data) for data in context.datasets if data.controls.records]
    tasks = _tasks(context, model)
    return Utility(read, tasks, list(own))


def _tasks(context: Context, model: LanguageModel) -> list[LmScores]:
    section = context.policy.utility.lm_eval
    if section is None:
        return []
    with context.progress.stage("lm-evaluation-harness", len(section.tasks), "tasks") as stage:
        found = lm_eval_scores(model, section, context.policy.seed, chat=section.chat)
        stage.advance(len(section.tasks))
    return found


def write_utility(path: Path, found: Utility) -> None:
    """Keep what was measured: it is asked of the model once."""
    write_bytes(path, json.dumps(asdict(found), allow_nan=False).encode())


def read_utility(path: Path) -> Utility:
    """What ``write_utility`` kept."""
    kept: dict[str, Any] = json.loads(path.read_bytes())
    return Utility(
        [Read(**one) for one in kept["read"]],
        [LmScores(**one) for one in kept["tasks"]],
        [Estimate(**one) for one in kept["own"]],
    )


def chosen_controls(context: Context, data: PreparedDataset) -> list[Record]:
    """The same controls for every arm, spread over the file."""
    records = [record for record in data.controls.records if record.prompt]
    count = min(context.policy.utility.records, len(records))
    places = np.linspace(0, len(records) - 1, count).round().astype(int).tolist()
    return [records[place] for place in places]


def _read(context: Context, model: LanguageModel, data: PreparedDataset) -> Read:
    records = chosen_controls(context, data)
    label = f"utility on {data.name}"
    with context.progress.stage(label, len(records), "controls") as stage:
        nats, tokens = _likelihoods(model, records)
        right = _answers(context, model, data, records) if data.trace else []
        stage.advance(len(records))
    return Read(data.name, nats, tokens, right)


def _likelihoods(model: LanguageModel, records: Sequence[Record]) -> tuple[list[float | None], list[int]]:
    """Nats and tokens of each answer given its question (of the question, where there is no answer)."""
    prefix, turns = model.opening(), model.turn_format()
    rendered = [model.record_tokens(record.prompt, record.response, turns, prefix) for record in records]
    room = model.context - len(prefix.token_ids)
    fits = [place for place, found in enumerate(rendered) if 0 < len(found.ids) <= room]
    nats: list[float | None] = [None] * len(records)
    tokens = [0] * len(records)
    for place, reading in zip(fits, model.read([rendered[p].ids for p in fits], prefix), strict=True):
        found = rendered[place]
        span = found.span("response" if found.answer < len(found.ids) else "record")
        nats[place], tokens[place] = -float(reading.logprobs[span].sum()), len(found.ids[span])
    return nats, tokens


def _answers(
    context: Context, model: LanguageModel, data: PreparedDataset, records: Sequence[Record]
) -> list[bool | None]:
    """Whether the most likely answer to each question ends in the right final answer."""
    assert data.trace is not None
    opening, sampler = model.opening(), Sampler(temperature=0, max_new_tokens=context.policy.utility.max_new_tokens)
    asked = [model.asked(record.prompt, opening) for record in records]
    fits = [place for place, prefix in enumerate(asked) if len(prefix.token_ids) < model.context]
    right: list[bool | None] = [None] * len(records)
    answers = model.complete([asked[place] for place in fits], sampler, context.policy.seed)
    for place, ids in zip(fits, answers, strict=True):
        right[place] = final_answer(model.decode(ids), data.trace) == records[place].response
    return right


def _of_dataset(read: Read, seed: int) -> Iterator[Estimate]:
    yield _perplexity(read, seed)
    asked = [right for right in read.right if right is not None]
    if asked:
        low, high = clopper_pearson(sum(asked), len(asked))
        yield Estimate(
            "task_accuracy",
            read.dataset,
            "",
            sum(asked) / len(asked),
            low,
            high,
            CLOPPER_PEARSON,
            numerator=float(sum(asked)),
            denominator=float(len(asked)),
            unscored=len(read.right) - len(asked),
        )


def _perplexity(read: Read, seed: int) -> Estimate:
    """exp of the mean nats a token; each record counts by its tokens."""
    known = _known(read)
    nats, tokens = _columns(read, known)
    ends: tuple[float | None, float | None, float | None] = (None, None, None)
    reason = ""
    try:
        _refuse_unread(read, known)
        ends = _perplexities(mean_a_token(nats, tokens, seed))
    except UndefinedError as error:
        reason = str(error)
    value, low, high = ends
    return Estimate(
        "control_perplexity",
        read.dataset,
        "",
        value,
        low,
        high,
        PERPLEXITY,
        numerator=float(nats.sum()),
        denominator=float(tokens.sum()),
        unscored=len(read.nats) - len(known),
        reason=reason,
    )


def _refuse_unread(read: Read, known: Sequence[int]) -> None:
    """What a model reads of the short controls alone says nothing of the others.

    Raises:
        UndefinedError: more than a few controls could not be read.
    """
    unread = len(read.nats) - len(known)
    if unread > MOST_UNREAD * len(read.nats):
        raise UndefinedError(
            f"{unread:,} of {len(read.nats):,} controls could not be read: empty, or longer than the context"
        )


def _perplexities(nats: tuple[float, float, float]) -> tuple[float, float, float]:
    value, low, high = (float(np.exp(min(end, MOST_NATS))) for end in nats)
    return value, low, high


def answer_gains(before: Read, after: Read) -> Floats:
    """1 for a question that is answered rightly after and was not before, -1 the other way round, else 0."""
    pairs = [(a, b) for a, b in zip(before.right, after.right, strict=True) if a is not None and b is not None]
    return np.array([float(b) - float(a) for a, b in pairs], np.float64)


def perplexity_ratio(before: Read, after: Read, seed: int) -> tuple[float, float, float]:
    """Perplexity after / before on the controls that both could read, with its paired 95 % interval.

    Raises:
        UndefinedError: fewer than two such controls.
    """
    both = [place for place in _known(before) if after.nats[place] is not None]
    (nats, tokens), (others, their_tokens) = _columns(after, both), _columns(before, both)
    if not tokens.sum() or not their_tokens.sum():
        raise UndefinedError(TOO_FEW)
    change = nats / tokens.sum() - others / their_tokens.sum()
    # Each control's part in the difference of two ratios of sums, linearised.
    parts = change - nats.sum() / tokens.sum() * (tokens / tokens.sum() - 1 / len(both))
    parts += others.sum() / their_tokens.sum() * (their_tokens / their_tokens.sum() - 1 / len(both))
    _, low, high = bootstrap_mean(parts * len(both), seed)
    value = float(change.sum())
    return _perplexities((value, min(low, value), max(high, value)))


def mean_a_token(nats: Floats, tokens: Floats, seed: int) -> tuple[float, float, float]:
    """Sum of nats / sum of tokens, with its interval by record: a ratio of sums, linearised.

    Raises:
        UndefinedError: fewer than two records.
    """
    if not tokens.sum():
        raise UndefinedError(TOO_FEW)
    mean = float(nats.sum() / tokens.sum())
    _, low, high = bootstrap_mean(mean + (nats - mean * tokens) / tokens.mean(), seed)
    return mean, min(low, mean), max(high, mean)


def _known(read: Read) -> list[int]:
    return [place for place, nats in enumerate(read.nats) if nats is not None]


def _columns(read: Read, places: Sequence[int]) -> tuple[Floats, Floats]:
    nats = np.array([read.nats[place] for place in places], np.float64)
    return nats, np.array([read.tokens[place] for place in places], np.float64)
