"""LoRA: the weights stay as they are, and a low-rank adapter learns what they do not know."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from auditkit.errors import MissingExtraError
from auditkit.mitigations.retraining import TrainingMitigation
from auditkit.training.libraries import adapter_library


class Lora(TrainingMitigation):
    """Retrains with an adapter on every linear layer but the last, merged into the weights at the end."""

    summary: ClassVar[str] = "Retrained with a low-rank adapter in place of all weights, merged when done."
    source: ClassVar[str] = "Hu et al. 2022, LoRA; learns less and forgets less: Biderman et al. 2024, arXiv:2405.09673"

    kind: Literal["lora"]
    rank: Annotated[int, Field(ge=1, le=1024, description="Of the adapter; fewer ranks can hold less.")] = 16

    @model_validator(mode="after")
    def _one_rank(self) -> Self:
        if self.recipe.lora_rank:
            raise ValueError("give 'rank' here, not 'lora_rank' in the recipe")
        return self

    @property
    def lora_rank(self) -> int:
        return self.rank

    def missing(self) -> str | None:
        try:
            adapter_library()
        except MissingExtraError:
            return "lab"
        return super().missing()
