"""The policy's section ``worth``: what an attacker would train on, how, and on what the skill is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from auditkit.training.recipe import Pace, resolved_path
from auditkit.training.rows import Loss
from auditkit.worth.checks import Check
from auditkit.worth.filter_section import FilterSection

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]


class WorthPart(BaseModel):
    """A part of the section: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskFields(WorthPart):
    """Which fields of a row hold the question and its right answer."""

    prompt: FieldName = "prompt"
    answer: FieldName = "answer"


class TaskSection(WorthPart):
    """Held-out questions with answers that a program can check."""

    name: Name
    path: FilePath = Field(
        description="A .jsonl file, relative to the policy. None of its questions may be a record's."
    )
    fields: TaskFields = TaskFields()
    check: Check = Field(
        default="number",
        description="What counts as the answer: the last number written, the whole text (exact), or what stands in the "
        "last \\boxed{}.",
    )
    limit: Annotated[int, Field(ge=10, le=100_000)] | None = Field(
        default=None, description="Questions at most, drawn by the policy's seed."
    )
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536, description="Tokens of an answer at most.")] = 64
    temperature: Annotated[
        float, Field(ge=0, le=2, description="0 asks greedily; above it, one sample a question.")
    ] = 0.0


class WorthRecipe(Pace):
    """How every arm is trained, from models.base on: one recipe, whatever the data."""

    method: Literal["sft", "dr_grpo"] = Field(
        default="sft",
        description="Next-token training on questions with answers, or Dr. GRPO where final answers can be read.",
    )
    loss: Loss = Field(default="response", description="sft: on the answer (response), or on both turns (all).")
    samples: Annotated[int, Field(ge=2, le=1024, description="dr_grpo: answers sampled for each question.")] = 8
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536, description="dr_grpo: tokens of a sampled answer.")] = 32
    temperature: Annotated[float, Field(gt=0, le=10, description="dr_grpo: of the sampled answers.")] = 1.0
    check: Check = Field(default="number", description="dr_grpo: what of an answer is rewarded.")

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.method == "dr_grpo" and self.batch_size % self.samples:
            raise ValueError("'batch_size' counts sampled answers here: make it a multiple of 'samples'")
        return self

    @property
    def group(self) -> int:
        """Rows are used in multiples of this: the questions of one step of Dr. GRPO."""
        return self.batch_size // self.samples if self.method == "dr_grpo" else 1


class WorthSection(WorthPart):
    """What the leak is worth: the base model trained on what came out, on the originals and on controls."""

    dataset: Name | None = Field(
        default=None, description="Whose leak is valued; by default the policy's only dataset of stage sft or rl."
    )
    attack: Name | None = Field(
        default=None, description="Whose generations are trained on; by default the first through the chat template."
    )
    filter: FilterSection = FilterSection()
    recipe: WorthRecipe = WorthRecipe()
    records: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=400, description="Rows that each arm trains on at most. All arms get as many as the smallest has."
    )
    seeds: Annotated[int, Field(ge=2, le=100)] = Field(
        default=3,
        description="Trainings of each arm, with seeds derived from the policy's: the intervals are over these.",
    )
    budgets: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1, max_length=20)] = Field(
        default=[0.1, 0.3, 1.0], description="Shares of the attack's generations that the attacker can afford: a curve."
    )
    tasks: Annotated[list[TaskSection], Field(max_length=20)] = Field(
        default=[], description="What the skill is measured on."
    )

    @field_validator("budgets")
    @classmethod
    def _rising(cls, budgets: list[float]) -> list[float]:
        if sorted(set(budgets)) != budgets:
            raise ValueError("should rise, each once, such as [0.1, 0.3, 1.0]")
        return budgets

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [task.name.lower() for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError("two tasks have one name")
        return self

    def resolved(self, folder: Path) -> Self:
        """The same section with relative paths resolved against the policy's folder."""
        filtered = self.filter.resolved(folder)
        tasks = [task.model_copy(update={"path": resolved_path(folder, task.path)}) for task in self.tasks]
        return self.model_copy(update={"tasks": tasks, "filter": filtered, "recipe": self.recipe.resolved(folder)})
