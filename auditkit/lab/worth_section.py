"""What ``lab worth`` does with a family: the section ``worth`` of its recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from auditkit.lab.recipe_sections import Name, Positive, Section

if TYPE_CHECKING:
    from auditkit.lab.recipe import Recipe

Budget = Annotated[float, Field(gt=0, le=1)]
TEACHABLE = ("maths", "sums")  # generators whose records have answers that a program can check


class WorthOptions(Section):
    """Whose leak is valued, and with how much training.

    ``dataset`` is one whose answers can be checked; the model before the stage that reads it is the base, the family's
    last model the one that leaks. Every arm trains on at most ``records`` rows by that stage's own recipe, ``seeds``
    times. ``tasks`` held-out problems score it. ``unrelated`` names a dataset that has nothing to do with the skill:
    what training in the template alone is worth.
    """

    dataset: Name
    records: Positive = 400
    seeds: Annotated[int, Field(ge=2, le=100)] = 3
    budgets: Annotated[tuple[Budget, ...], Field(min_length=1, max_length=20)] = (0.1, 0.3, 1.0)
    tasks: Annotated[int, Field(ge=10, le=10_000)] = 200
    unrelated: Name | None = None

    @field_validator("budgets")
    @classmethod
    def _rising(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        if list(budgets) != sorted(set(budgets)):
            raise ValueError("give the shares of the generations in rising order, as [0.1, 0.3, 1.0]")
        return budgets


def worth_problems(recipe: Recipe) -> Iterator[str]:
    """What of the section does not fit the recipe, in words."""
    if recipe.worth is None:
        return
    valued = {dataset.name: stage for dataset, stage in recipe.audited}
    for name in filter(None, (recipe.worth.dataset, recipe.worth.unrelated)):
        if name not in valued:
            yield f"worth: {name} is no audited dataset of post-training"
            return
    stage, dataset = valued[recipe.worth.dataset], recipe.dataset(recipe.worth.dataset)
    if stage.kind not in ("sft", "grpo") or dataset.generator not in TEACHABLE:
        generators = " or ".join(TEACHABLE)
        yield f"worth: {dataset.name} is to be read by a stage of kind sft or grpo, with generator: {generators}"
    if not dataset.controls:
        yield f"worth: {dataset.name} needs controls: what an honest collector would have trained on"
