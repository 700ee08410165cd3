"""Every checkpoint before the candidate, attacked and read as the candidate is; the candidate itself was already.

Attacks and readings go through the candidate's chat template: a base model often carries none, and two stages can only
be compared on the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auditkit.auditing.context import Context
from auditkit.auditing.generate import generate
from auditkit.auditing.likelihoods import likelihoods_path, make_pass
from auditkit.auditing.measured import Measured
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.progress import Within
from auditkit.auditing.reading_plan import SharedPrefix, Surroundings, pass_of, surroundings
from auditkit.auditing.score import Scores, score
from auditkit.corpus.base import Corpus
from auditkit.errors import ModelError
from auditkit.files import make_folder
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import LanguageModel, ModelBackend, ModelPreflight
from auditkit.policy.schema import Checkpoint
from auditkit.probes.base import Reading
from auditkit.records import Generation, Prefix, SamplingRequest, TurnFormat

UNDER = ("template", "bos")


@dataclass(frozen=True)
class MeasuredCheckpoint:
    """One model of the chain, the run as it sees it, and what its attacks reached."""

    checkpoint: Checkpoint
    context: Context
    scores: Scores
    around: Surroundings

    @property
    def readings(self) -> list[Reading]:
        """The passes that its records are compared by."""
        return [Reading("candidate", under) for under in UNDER if under in self.around.prefixes]

    def path(self, reading: Reading, corpus: Corpus) -> Path:
        """Where one pass over one side is kept."""
        (shared,) = self.around.prefixes[reading.under]
        return _kept(self.context, reading, shared, corpus)


def measured_chain(context: Context, baseline: Measured) -> list[MeasuredCheckpoint]:
    """All of the chain in its order; what an earlier process finished is taken from disk."""
    assert baseline.scores is not None
    chain = context.policy.checkpoints
    with OpenModel(context.policy.models.candidate, "candidate") as candidate:
        around = surroundings(context, candidate)
        last = MeasuredCheckpoint(chain[-1], context, baseline.scores, around)
        _read(last, candidate)
    earlier = [
        _measured(replace(context, progress=Within(context.progress, told)), one, around, baseline.scores)
        for place, one in enumerate(chain[:-1], 1)
        for told in [f"checkpoint {place} of {len(chain)}: {one.name}"]
    ]
    return [*earlier, last]


def _measured(context: Context, checkpoint: Checkpoint, around: Surroundings, known: Scores) -> MeasuredCheckpoint:
    inside = _inside(context, checkpoint)
    served = _behind_template(context.policy.models.candidate, checkpoint.model)
    with OpenModel(checkpoint.model, "candidate", served) as opened:
        generate(inside, opened)
        found = MeasuredCheckpoint(checkpoint, inside, Scores(), around)
        _read(found, opened)
    return replace(found, scores=score(inside, known.calibrations))


def _inside(context: Context, checkpoint: Checkpoint) -> Context:
    """The run as the checkpoint sees it: the candidate's attacks on other weights, and nothing else."""
    policy = context.policy
    most = checkpoint.samples
    update = {
        "models": policy.models.model_copy(update={"candidate": checkpoint.model}),
        "attacks": [
            one.model_copy(update={"samples": min(one.samples, most or one.samples)}) for one in policy.prefix_attacks
        ],
        "probes": [],
        "mitigations": [],
        "checkpoints": [],
    }
    inside = policy.model_copy(update=update)
    inside._source = policy._source
    run = context.run.of_checkpoint(checkpoint.name)
    for folder in (run.work, run.evidence):
        make_folder(folder)
    return replace(context, policy=inside, run=run)


def _read(found: MeasuredCheckpoint, opened: OpenModel) -> None:
    """Make the passes that are not there; of the candidate, the probes may have made them."""
    for reading in found.readings:
        sides = (side for data in found.context.datasets for side in (data.members, data.controls))
        if not all(found.path(reading, side).exists() for side in sides):
            make_pass(found.context, opened, reading, found.around)


def _kept(context: Context, reading: Reading, shared: SharedPrefix, corpus: Corpus) -> Path:
    own = likelihoods_path(context, reading, shared.name, corpus)
    if own.exists():
        return own
    try:
        made, _ = pass_of(context.policy, reading)
    except KeyError:  # no probe of the policy asks for it
        return own
    return likelihoods_path(context, made, shared.name, corpus)


def _behind_template(
    candidate: ModelBackend, checkpoint: ModelBackend
) -> Callable[[LanguageModel], LanguageModel] | None:
    """Puts the candidate's chat template in front of a checkpoint that has another, or none."""
    template, own = (backend.preflight("candidate") for backend in (candidate, checkpoint))
    if template.chat_template == own.chat_template:
        return None
    return lambda model: BehindTemplate(model, template)


class BehindTemplate(ServedModel):
    """A model that is asked through another model's chat template."""

    def __init__(self, inner: LanguageModel, template: ModelPreflight) -> None:
        super().__init__(inner)
        self._of = template

    def turn_format(self) -> TurnFormat | None:
        from auditkit.models.chat_template import turn_format

        return turn_format(self._given(), **self._tokens()) if self._of.chat_template is not None else None

    def template_prefix(self, system: str | None) -> Prefix:
        from auditkit.models.chat_template import template_prefix

        text = template_prefix(self._given(), **self._tokens(), system=system)
        name = {None: "default_system", "": "no_system"}.get(system, "system")
        return replace(self.inner.literal_prefix(text), name=name)

    def sample(self, request: SamplingRequest) -> list[Generation]:
        turns = request.prefix.turns or self.turn_format()
        return self.inner.sample(replace(request, prefix=replace(request.prefix, turns=turns)))

    def _given(self) -> str:
        if self._of.chat_template is None:
            raise ModelError("the candidate carries no chat template", "give the attack a prefix: {literal: ...}")
        return self._of.chat_template

    def _tokens(self) -> dict[str, Any]:
        return {
            "bos_token": self._of.bos_token,
            "eos_token": self._of.eos_token,
            "date": self._of.template_date,
        }
