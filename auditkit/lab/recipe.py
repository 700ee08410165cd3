"""The recipe of a model family: what it starts from, what data it reads in which stage, and how it is audited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from auditkit.lab.recipe_sections import AuditOptions, Dataset, Name, Pretrain, Section, Stage, Start
from auditkit.lab.worth_section import TEACHABLE, WorthOptions, worth_problems


class Recipe(Section):
    """A whole recipe."""

    version: Literal[1]
    name: Name
    start: Start
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    audit: AuditOptions = AuditOptions()
    worth: WorthOptions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in _inconsistencies(self):
            raise ValueError(problem)
        return self

    def dataset(self, name: str) -> Dataset:
        """The dataset of this name."""
        return next(dataset for dataset in self.datasets if dataset.name == name)

    @property
    def plain(self) -> tuple[Dataset, ...]:
        """The plain texts, which every later stage may replay."""
        return tuple(dataset for dataset in self.datasets if dataset.plain)

    @property
    def audited(self) -> tuple[tuple[Dataset, Stage], ...]:
        """The datasets of post-training that the policy names, each with the stage that reads it."""
        read = ((self.dataset(n), s) for s in self.stages if s.kind != "pretrain" for n in s.datasets)
        return tuple((dataset, stage) for dataset, stage in read if dataset.audited)


def _inconsistencies(recipe: Recipe) -> Iterator[str]:
    names = [dataset.name for dataset in recipe.datasets]
    stages = [stage.name for stage in recipe.stages]
    for kind, given in (("datasets", names), ("stages", stages)):
        if len(set(given)) < len(given):
            yield f"two {kind} have the same name"
    begun = "start" if recipe.start.fresh else "base"
    if begun in stages:
        yield f"a stage cannot be called {begun} here: that is the model that the stages begin with"
    if recipe.start.fresh and recipe.stages[0].kind != "pretrain":
        yield "a fresh model begins with a stage of kind pretrain"
    if recipe.start.fresh and not recipe.plain:
        yield "a fresh model's vocabulary is made from plain texts: add a dataset with generator: plain"
    unknown = [(s.name, n) for s in recipe.stages for n in s.datasets if n not in names]
    if unknown:
        yield f"stage {unknown[0][0]} reads {unknown[0][1]}, and there is no such dataset"
        return
    if not recipe.audited:
        yield "no stage post-trains on a dataset that is audited: there is nothing to audit"
    for stage in recipe.stages:
        yield from _stage_problems(recipe, stage)
    read = [name for stage in recipe.stages if stage.kind != "pretrain" for name in stage.datasets]
    if len(set(read)) < len(read):
        yield "a dataset is read in two stages: give each its own, or the truth about its records is two truths"
    yield from worth_problems(recipe)


def _stage_problems(recipe: Recipe, stage: Stage) -> Iterator[str]:
    for name in stage.datasets:
        dataset = recipe.dataset(name)
        if dataset.plain != (stage.kind == "pretrain"):
            yield f"stage {stage.name}: pretraining reads generator: plain, and nothing else does"
        if dataset.canaries and (stage.kind != "sft" or dataset.generator == "preference"):
            yield f"stage {stage.name}: canaries are planted in a dataset of prompts and responses of kind sft"
        if (dataset.instructed or dataset.respaced) and stage.kind != "sft":
            yield f"stage {stage.name}: only supervised records stand behind system turns (instructed) or are respaced"
        if stage.kind == "dpo" and dataset.generator != "preference":
            yield f"stage {stage.name}: dpo reads pairs: generator: preference"
        if stage.kind == "grpo" and dataset.generator not in (*TEACHABLE, None):
            needed = f"generator: {' or '.join(TEACHABLE)}, or jsonl with '#### answer'"
            yield f"stage {stage.name}: grpo needs verifiable answers: {needed}"
    if not isinstance(stage, Pretrain) and stage.replay and not recipe.plain:
        yield f"stage {stage.name} replays plain text: add a dataset with generator: plain"
