"""Unlearning: the records that leaked are made unlikely again, in the weights that would ship."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from auditkit.files import make_folder
from auditkit.mitigations.base import Mitigation, Workshop
from auditkit.mitigations.changed_weights import Changed, ChangedWeights
from auditkit.mitigations.examples import refuse_controls
from auditkit.mitigations.quantised_weights import Grid, quantise
from auditkit.mitigations.unlearning_sets import Forget, control_rows, divided, row_sets
from auditkit.models.base import ModelBackend
from auditkit.records import Fact
from auditkit.training.evaluation import mean_loss
from auditkit.training.examples import counts, read_examples
from auditkit.training.recipe import RecipeData, resolved_path
from auditkit.training.rows import Row
from auditkit.training.seeds import seeded
from auditkit.training.unlearning import Descent, Sets, dampen, unlearn

UNDER_WAY = "unlearning"
ONLY_FOR = {
    "beta": {"npo"},
    "retain_weight": {"npo", "gradient_difference"},
    "epochs": {"npo", "gradient_difference"},
    "learning_rate": {"npo", "gradient_difference"},
    "alpha": {"selective_synaptic_dampening"},
    "dampening": {"selective_synaptic_dampening"},
    "fisher_records": {"selective_synaptic_dampening"},
}


class Unlearning(ChangedWeights):
    """Unlearns the leaked records, and asks again after quantisation, which is known to bring them back."""

    needs: ClassVar[tuple[str, tuple[str, ...]]] = ("lab", ("torch", "transformers", "trl", "datasets"))
    summary: ClassVar[str] = "The records that leaked are unlearnt, the other members retained."
    source: ClassVar[str] = (
        "NPO: Zhang et al. 2024, arXiv:2404.05868; gradient difference: Liu et al. 2022, arXiv:2203.12817; "
        "selective synaptic dampening: Foster et al. 2024, arXiv:2308.07707; "
        "undone by quantisation: Zhang et al. 2024, arXiv:2410.16454"
    )

    kind: Literal["unlearning"]
    method: Literal["npo", "gradient_difference", "selective_synaptic_dampening"] = Field(
        default="npo",
        description="npo: lowers the records' likelihood against the model as it was, ever more slowly; "
        "gradient_difference: raises their loss without bound; selective_synaptic_dampening: shrinks the weights that "
        "matter more to them than to the rest, without training.",
    )
    forget: Forget = Field(
        default="leaked",
        description="The members that the baseline's attacks reached, with what nearly repeats them; or every member, "
        "which needs 'retain'. The members that are not forgotten are retained.",
    )
    retain: list[RecipeData] = Field(
        default=[], max_length=100, description="Files of rows to be retained beside the other members."
    )
    epochs: Annotated[int, Field(ge=1, le=1000, description="How often each record to be forgotten is seen.")] = 10
    learning_rate: Annotated[float, Field(gt=0, le=10, description="AdamW's peak.")] = 1e-5
    batch_size: Annotated[
        int, Field(ge=1, le=4096, description="Records to be forgotten a step, and as many to be retained.")
    ] = 16
    beta: Annotated[
        float, Field(gt=0, le=100, description="Of npo: the smaller, the more it is like gradient difference.")
    ] = 0.1
    retain_weight: Annotated[
        float, Field(ge=0, le=1000, description="Of the loss of what is retained, beside that of what is forgotten.")
    ] = 1.0
    alpha: Annotated[
        float,
        Field(
            gt=0,
            le=1e9,
            description="Of selective synaptic dampening: a weight is chosen where it matters this many times more to "
            "what is forgotten than to what is retained.",
        ),
    ] = 10.0
    dampening: Annotated[
        float,
        Field(
            ge=0,
            le=1e9,
            description="Of selective synaptic dampening, its lambda: a chosen weight is multiplied by this times its "
            "importance to what is retained over that to what is forgotten, 1 at most.",
        ),
    ] = 1.0
    fisher_records: Annotated[
        int, Field(ge=1, le=1_000_000, description="Of either side, drawn to say how much a weight matters, at most.")
    ] = 512
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None, description="Of order and draws; by default the policy's."
    )
    quantised: list[Grid] = Field(
        default=["int8", "int4"],
        description="An arm more for each: the unlearnt weights in 8 or 4 bits, named NAME.int8 and NAME.int4.",
    )

    @model_validator(mode="after")
    def _no_idle_parameter(self) -> Self:
        fields = type(self).model_fields
        idle = [name for name, methods in ONLY_FOR.items() if self.method not in methods]
        if changed := [name for name in idle if getattr(self, name) != fields[name].default]:
            raise ValueError(f"{self.method} does not use '{changed[0]}'")
        if self.forget == "all" and not self.retain:
            raise ValueError("forget: all needs 'retain': texts that the model should keep")
        if len(set(self.quantised)) < len(self.quantised):
            raise ValueError("'quantised' names one twice")
        return self

    def check(self, candidate: ModelBackend) -> None:  # noqa: ARG002
        for part in self.retain:
            read_examples(part)

    def resolved(self, folder: Path) -> Self:
        retain = [part.model_copy(update={"path": resolved_path(folder, part.path)}) for part in self.retain]
        return self.model_copy(update={"retain": retain})

    def arms(self) -> Sequence[Mitigation]:
        return (self, *(QuantisedUnlearning.of(self, grid) for grid in self.quantised))

    def change(self, workshop: Workshop) -> Changed:
        parts = divided(workshop, self.forget)
        more = [example for part in self.retain for example in read_examples(part)]
        refuse_controls(more, workshop.datasets)
        model, tokenizer = workshop.open_for_training(workshop.candidate)
        context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None) or 2**31
        sets = row_sets(tokenizer, parts, more, context)
        watched = {"forget": sets.forget, "retain": sets.retain}
        watched["control"] = control_rows(tokenizer, workshop.datasets, context)
        before = self._losses(model, watched, sets.pad)
        facts = self._unlearn(model.requires_grad_(True), sets, workshop)
        after = self._losses(model, watched, sets.pad)
        shutil.rmtree(workshop.folder / UNDER_WAY, ignore_errors=True)
        data = {f"forgotten: {name}": count for name, count in parts.counts.items()}
        data |= {f"retained: {name}": count for name, count in _retained(parts.retain).items()} | counts(more)
        return Changed(model, tokenizer, (*self._said(sets, before, after), *facts), data)

    def parameters(self) -> dict[str, Any]:
        given = super().parameters()
        retain = [{**part, "path": Path(part["path"]).name} for part in given["retain"]]
        idle = {name for name, methods in ONLY_FOR.items() if self.method not in methods}
        return {key: value for key, value in given.items() if key not in idle} | {"retain": retain}

    def _unlearn(self, model: Any, sets: Sets, workshop: Workshop) -> tuple[Fact, ...]:
        seed = workshop.seed if self.seed is None else self.seed

        def told(done: int, total: int) -> None:
            workshop.tell("unlearning", done, total)

        if self.method == "selective_synaptic_dampening":
            drawn = Sets(self._drawn(sets.forget, seed), self._drawn(sets.retain, seed), sets.pad)
            count = dampen(model, drawn, self.alpha, self.dampening, told)
            return (Fact("weights dampened", count, f"of {sum(weight.numel() for weight in model.parameters()):,}"),)
        descent = Descent(
            objective=self.method,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            seed=seed,
            beta=self.beta,
            retain_weight=self.retain_weight,
            on_step=told,
        )
        return (Fact("steps", unlearn(model, sets, descent, workshop.folder / UNDER_WAY)),)

    def _drawn(self, rows: Sequence[Any], seed: int) -> list[Any]:
        return seeded(seed, "fisher").sample(rows, min(self.fisher_records, len(rows)))

    def _losses(self, model: Any, watched: Mapping[str, Sequence[Row]], pad: int) -> dict[str, float]:
        """Nats a token of each set, over at most 256 rows of it, the same each time."""
        return {name: mean_loss(model, rows, pad, self.batch_size) for name, rows in watched.items() if rows}

    def _said(self, sets: Sets, before: Mapping[str, float], after: Mapping[str, float]) -> tuple[Fact, ...]:
        which = "leaked, with what nearly repeats them" if self.forget == "leaked" else "every member"
        notes = {
            "control": "nats a token, of what was never trained on: above it, records are shunned, which shows too"
        }
        return (
            Fact("records forgotten", len(sets.forget), which),
            Fact("rows retained", len(sets.retain)),
            *(
                Fact(f"{name} loss {when}", losses[name], notes.get(name, "nats a token"))
                for name in before
                for when, losses in (("before", before), ("after", after))
            ),
        )


class QuantisedUnlearning(ChangedWeights):
    """What unlearning made, in fewer bits: an arm that ``Unlearning`` adds, no section of its own."""

    summary: ClassVar[str] = "The unlearnt weights, quantised: does that bring back what was unlearnt?"
    source: ClassVar[str] = "Zhang et al. 2024, arXiv:2410.16454: quantisation recovers what was unlearnt"

    kind: Literal["unlearning"] = "unlearning"
    name: str | None = None  # that of the section, and the grid's
    unlearning: SerializeAsAny[Unlearning]
    grid: Grid

    @classmethod
    def of(cls, unlearning: Unlearning, grid: Grid) -> Self:
        """The arm of a section, for one grid."""
        name = f"{unlearning.label}.{grid}"
        return cls(name=name, attacker=unlearning.attacker, unlearning=unlearning, grid=grid)

    def missing(self) -> str | None:
        return self.unlearning.missing()

    def change(self, workshop: Workshop) -> Changed:
        """The weights are those of the unlearnt arm, made by whichever of the arms comes first."""
        shared = replace(workshop, folder=make_folder(workshop.folder.parent / self.unlearning.label))
        made = self.unlearning.make(shared)
        model, tokenizer = workshop.open_for_training(made.backend)
        return Changed(model, tokenizer, (*made.facts, *quantise(model, self.grid)))

    def parameters(self) -> dict[str, Any]:
        return {**self.unlearning.parameters(), "grid": self.grid}


def _retained(records: Sequence[tuple[Any, Any]]) -> dict[str, int]:
    names = [data.name for data, _ in records]
    return {name: names.count(name) for name in dict.fromkeys(names)}
