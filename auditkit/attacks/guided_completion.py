"""Ask for the second half of a record, once naming the dataset and once not [Golchin & Surdeanu 2024, sec. 3]."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from auditkit.attacks.rouge import rouge_l, words
from auditkit.models.base import Capability, Floats, LanguageModel, Likelihoods
from auditkit.probes.base import TOO_LONG, Evidence, Labels, ModelProbe, PerRecord, ProbeResult, RecordScores, Side
from auditkit.records import Estimate, Prefix, Sampler
from auditkit.report.base import Column, Table
from auditkit.statistics.draws import derived_seed, seeded_sample
from auditkit.statistics.paired import PairedDifference, paired_difference
from auditkit.statistics.roc import UndefinedError

METRIC = "continuation_gain"
# In the paper's sense; the two differ in the dataset's name and the appeal to it, and in nothing else.
GUIDED = (
    "Below is the first piece of a record from the {split} split of the {dataset} dataset. Write the second piece "
    "exactly as it stands in that dataset, relying on nothing but the record's original form.\n\n"
    "First piece:\n{piece}\n\nSecond piece:"
)
GENERAL = (
    "Below is the first piece of a text. Write a second piece, so that the two pieces together make one whole text.\n\n"
    "First piece:\n{piece}\n\nSecond piece:"
)
SHARES = (0.4, 0.6)  # of the words that stand in the first piece


@dataclass
class Compared:
    """One side's sample: ROUGE-L of each record under both instructions, by index, and why others have none."""

    side: Side
    guided: dict[int, float] = field(default_factory=dict)
    general: dict[int, float] = field(default_factory=dict)
    unscored: Counter[str] = field(default_factory=Counter)

    @property
    def gains(self) -> Floats:
        """(scored,) guided minus general, in record order."""
        return np.array([self.guided[index] - self.general[index] for index in self.guided], np.float64)

    @property
    def per_record(self) -> PerRecord:
        """The gains as one number a record of the side."""
        return PerRecord.of_sample(len(self.side.records), list(self.guided), self.gains.tolist())

    @property
    def clusters(self) -> Labels:
        """(scored,) the near-duplicate cluster of each."""
        found: Labels = np.asarray(self.side.clusters)[list(self.guided)]
        return found


class GuidedCompletion(ModelProbe):
    """Does the model complete records better when told which dataset they are from?

    A first piece of 40 to 60 % of a record's words is put as the user's turn, with an instruction that names the
    dataset and with one that does not; the answers are compared with the record's second piece by ROUGE-L. A
    memorised dataset shows a gain for members that controls do not show.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset({"continuations"})
    likelihoods: ClassVar[Likelihoods] = "none"

    kind: Literal["guided_completion"]
    dataset_name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="What the instruction calls the dataset; by default its name in the policy."
    )
    split_name: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        default="train", description="What the instruction calls the split."
    )
    records: Annotated[int, Field(ge=2, le=100_000, description="Members, and controls, drawn at random.")] = 100
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536, description="Tokens of a completion at most.")] = 256
    temperature: Annotated[float, Field(ge=0, le=10, description="0 is greedy.")] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def observe(self, model: LanguageModel, evidence: Evidence) -> ProbeResult:
        members, controls = (self._compared(model, evidence, side) for side in evidence.sides)
        tests = [self._tested(evidence, side) for side in (members, controls)]
        names = (METRIC, f"{METRIC}_controls")
        both = zip(names, (members, controls), tests, strict=True)
        return ProbeResult(
            estimates=[self._estimate(evidence, name, side, test) for name, side, test in both],
            scores=[RecordScores(METRIC, members.per_record, controls.per_record)],
            tables=[_table([("members", members, tests[0]), ("controls", controls, tests[1])])],
            unscored=dict(members.unscored + controls.unscored),
        )

    def _compared(self, model: LanguageModel, evidence: Evidence, side: Side) -> Compared:
        found, seconds = Compared(side), dict[int, str]()
        asked: dict[str, list[Prefix]] = {GUIDED: [], GENERAL: []}
        opening = model.opening()
        for index in self._drawn(evidence, side):
            pieces = split_text(side.records[index].text, Random(derived_seed("split", self.seed, index)))  # noqa: S311
            prompts = [self._asked(model, opening, evidence, form, pieces[0]) for form in asked] if pieces else []
            if not pieces or not words(pieces[1]):
                found.unscored["no second piece"] += 1
            elif not self._fits(model, prompts, pieces[1]):
                found.unscored[TOO_LONG] += 1
            else:
                seconds[index] = pieces[1]
                for form, prompt in zip(asked, prompts, strict=True):
                    asked[form].append(prompt)
        for form, scores in ((GUIDED, found.guided), (GENERAL, found.general)):
            completions = self._completions(model, asked[form], evidence, side)
            for (index, second), text in zip(seconds.items(), completions, strict=True):
                scores[index] = rouge_l(text, second)
        return found

    def _drawn(self, evidence: Evidence, side: Side) -> list[int]:
        seed = derived_seed("records", evidence.seed, evidence.dataset, side.split, self.label)
        drawn: list[int] = seeded_sample(len(side.records), self.records, seed).tolist()
        return drawn

    def _asked(self, model: LanguageModel, opening: Prefix, evidence: Evidence, form: str, piece: str) -> Prefix:
        dataset = self.dataset_name or evidence.dataset
        return model.asked(form.format(split=self.split_name, dataset=dataset, piece=piece), opening)

    def _fits(self, model: LanguageModel, prompts: Sequence[Prefix], second: str) -> bool:
        """Whether both instructions leave room for the second piece: else the longer one would come off worse."""
        needed = min(self.max_new_tokens, len(model.encode(second)))
        return all(len(prompt.token_ids) + needed <= model.context for prompt in prompts)

    def _completions(self, model: LanguageModel, prompts: list[Prefix], evidence: Evidence, side: Side) -> list[str]:
        """What the model answers, its turn alone. Both instructions draw with the same noise: the test is paired."""
        seed = derived_seed(METRIC, self.seed, evidence.dataset, side.split)
        sampler = Sampler(self.temperature, max_new_tokens=self.max_new_tokens)
        turns = model.turn_format()
        close = turns.assistant_close.strip() if turns else ""
        texts = [model.decode(ids) for ids in model.complete(prompts, sampler, seed)]
        # Where the template's end of turn does not stop the model, what it writes behind it is no completion.
        return [text.split(close, 1)[0] if close else text for text in texts]

    def _tested(self, evidence: Evidence, side: Compared) -> PairedDifference | str:
        """The paired test, or why there is none."""
        seed = derived_seed("bootstrap", self.seed, evidence.dataset, side.side.split)
        try:
            return paired_difference(side.gains, seed, side.clusters)
        except UndefinedError as error:
            return str(error)

    def _estimate(self, evidence: Evidence, metric: str, side: Compared, test: PairedDifference | str) -> Estimate:
        known = test if isinstance(test, PairedDifference) else None
        return Estimate(
            metric=metric,
            dataset=evidence.dataset,
            attack=self.label,
            value=known.mean if known else None,
            low=known.low if known else None,
            high=known.high if known else None,
            method="mean paired difference of ROUGE-L, bootstrap by near-duplicate cluster",
            denominator=float(side.gains.size),
            unscored=side.unscored.total(),
            reason="" if known else str(test),
        )


def split_text(text: str, random: Random) -> tuple[str, str] | None:
    """A text cut before a word, 40 to 60 % of its words in the first piece; None where there are fewer than two."""
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    if len(starts) < 2:
        return None
    low, high = SHARES
    cut = round((low + (high - low) * random.random()) * len(starts))
    place = starts[min(max(cut, 1), len(starts) - 1)]
    return text[:place].rstrip(), text[place:]


def _table(sides: list[tuple[str, Compared, PairedDifference | str]]) -> Table:
    names = ("guided", "general")
    columns = [Column(name="records"), Column(name="scored", kind="count")]
    columns += [Column(name=f"ROUGE-L, {name}", kind="number") for name in names]
    columns += [Column(name=name, kind="count") for name in ("better guided", "worse guided")]
    columns += [Column(name=name, kind="number") for name in ("p, Wilcoxon", "p, sign test")]
    rows: list[list[str | int | float | None]] = []
    for name, side, test in sides:
        means = [float(np.mean(list(scores.values()))) if scores else None for scores in (side.guided, side.general)]
        found = [test.rises, test.falls, test.wilcoxon_p, test.sign_p] if isinstance(test, PairedDifference) else None
        rows.append([name, len(side.guided), *means, *(found or [None] * 4)])
    note = "p: one-sided, against guided completions being no better."
    return Table(title="Completions of records from their first piece", columns=columns, rows=rows, note=note)
