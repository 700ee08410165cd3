"""How a training is run: a section of the policy that is the same wherever one is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auditkit.training.rows import Loss

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]


class RecipeSection(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RowFields(RecipeSection):
    """Which fields of a row hold what is trained on: prompt and response, or text."""

    prompt: FieldName | None = Field(default=None, description="The user's turn.")
    response: FieldName | None = Field(default=None, description="The assistant's turn.")
    system: FieldName | None = Field(
        default=None,
        description="The system turn, where a row has one; a list of texts: each stands before one of the repeats.",
    )
    text: FieldName | None = Field(default=None, description="A plain text, in no template.")

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.prompt is None) != (self.response is None) or (self.prompt is None) == (self.text is None):
            raise ValueError("give either 'prompt' and 'response' or 'text'")
        if self.system and self.text:
            raise ValueError("a plain text stands behind no 'system' turn")
        return self


class RecipeData(RecipeSection):
    """A file of training data, one JSON object a line."""

    path: FilePath = Field(description="A .jsonl file, relative to the policy.")
    fields: RowFields
    repeats: FieldName | None = Field(
        default=None, description="The field that says how often an epoch sees the row; by default once."
    )


class RecipeReplay(RecipeSection):
    """Plain text that is mixed in, lest a small model forget how to write anything else."""

    path: FilePath = Field(description="A .jsonl file, relative to the policy.")
    field: FieldName = Field(default="text", description="The field that holds the text.")
    share: Annotated[float, Field(gt=0, lt=1, description="Of all rows of an epoch; drawn by the seed.")] = 0.2


class Pace(RecipeSection):
    """Length and pace of a training, whatever it reads."""

    replay: RecipeReplay | None = Field(default=None, description="Plain text mixed in.")
    epochs: Annotated[int, Field(ge=1, le=1000, description="How often the data is seen.")] = 3
    learning_rate: Annotated[
        float, Field(gt=0, le=10, description="AdamW's peak, falling as a cosine. LoRA wants about ten times as much.")
    ] = 2e-5
    batch_size: Annotated[int, Field(ge=1, le=4096, description="Rows a step.")] = 16
    loss: Loss = Field(
        default="all", description="On both turns (all), as in pipelines that leak, or on the answer (response)."
    )
    warmup: Annotated[float, Field(ge=0, le=0.5, description="Share of the steps in which the rate rises.")] = 0.05
    lora_rank: Annotated[int, Field(ge=0, le=1024, description="0 trains every weight.")] = 0
    max_tokens: Annotated[int, Field(ge=8, le=1_000_000)] | None = Field(
        default=None, description="Longer rows are cut there. By default a row that does not fit the model is refused."
    )

    def resolved(self, folder: Path) -> Self:
        """The same recipe with relative paths resolved against the policy's folder."""
        replay = self.replay and self.replay.model_copy(update={"path": resolved_path(folder, self.replay.path)})
        return self.model_copy(update={"replay": replay})


class Recipe(Pace):
    """Data, length and pace of a mitigation's training."""

    data: Annotated[list[RecipeData], Field(min_length=1)] | None = Field(
        default=None,
        description="What is trained on. By default every member of the policy's datasets of stage sft, and of stage "
        "dpo with the chosen reply as the answer, once an epoch.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None, description="Of order and adapters; by default the policy's."
    )
    start: Literal["base", "candidate"] = Field(
        default="base", description="The weights that training begins with: models.base, or what would have shipped."
    )

    def resolved(self, folder: Path) -> Self:
        data = [part.model_copy(update={"path": resolved_path(folder, part.path)}) for part in self.data or ()]
        return super().resolved(folder).model_copy(update={"data": data or None})


def resolved_path(folder: Path, path: str) -> str:
    """A path of a policy as an absolute one."""
    return str((folder / Path(path).expanduser()).resolve())
