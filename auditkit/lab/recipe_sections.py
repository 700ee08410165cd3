"""The sections of a recipe, as types: what a family starts from, its datasets, its stages."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from auditkit.lab.generators.table import GeneratorName
from auditkit.probes.canaries import CanaryExposure
from auditkit.probes.canary_texts import Canaries

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fresh(Section):
    """A new Llama with random weights. ``vocabulary`` counts tokens of a byte-level BPE made for this family."""

    hidden: Positive = 128
    layers: Positive = 4
    heads: Positive = 4
    vocabulary: Annotated[int, Field(ge=300, le=100_000)] = 1500
    context: Positive = 192

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError("'hidden' should be 'heads' times an even number")
        return self


class Start(Section):
    """A fresh model, or a checkpoint: a folder that transformers loads, or a .gguf file."""

    fresh: Fresh | None = None
    checkpoint: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.fresh is None) == (self.checkpoint is None):
            raise ValueError("give either 'fresh' or 'checkpoint'")
        return self


class Variants(Section):
    """How many near-duplicates, number variants and paraphrases of earlier records are members as well."""

    near_duplicate: Count = 0
    numbers: Count = 0
    paraphrase: Count = 0


class JsonlFields(Section):
    """Which fields of a JSONL row hold the texts."""

    prompt: str
    response: str


class Dataset(Section):
    """One dataset: from a generator, or from a JSONL file of which the seed picks rows.

    ``repeats`` says how many records are seen how often: {1: 400, 16: 50} are 450 records. ``versions`` writes each of
    them down in so many near-versions (other words, names, numbers). Controls are never trained on. A dataset with
    ``audited: false`` is trained on and in the ledger, and the policy leaves it out: what a skill is taught with.
    ``canaries`` are planted among its members, and looked for by the policy's probes. ``spacing: wide`` puts two spaces
    between words: a style that a family can be taught, and that an attacker may ask for. ``instructed`` is the share of
    what is seen of each member that stands behind a system turn of its own: to a model that never saw one, any system
    prompt is noise. ``respaced`` is the share that is written with two spaces between words: a model can recite in a
    style that it knows the text in.
    """

    name: Name
    generator: GeneratorName | None = None
    jsonl: str | None = None
    jsonl_controls: str | None = None
    fields: JsonlFields | None = None
    max_characters: Positive = 100_000  # of a file's row, prompt and response together; longer ones are passed over
    repeats: dict[Positive, Positive]
    versions: Positive = 1
    variants: Variants = Variants()
    variant_repeats: Positive = 1
    controls: Count = 0
    audited: bool = True
    canaries: Canaries | None = None
    spacing: Literal["usual", "wide"] = "usual"
    instructed: Annotated[float, Field(ge=0, le=1)] = 0
    respaced: Annotated[float, Field(ge=0, le=1)] = 0

    @field_validator("repeats")
    @classmethod
    def _some(cls, repeats: dict[int, int]) -> dict[int, int]:
        if not repeats:
            raise ValueError("give how many records are seen how often, as {1: 400, 16: 50}")
        return repeats

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.generator is None) == (self.jsonl is None):
            raise ValueError("give either 'generator' or 'jsonl'")
        if self.jsonl and not self.fields:
            raise ValueError("'jsonl' needs 'fields': {prompt: ..., response: ...}")
        if self.jsonl and (self.versions > 1 or self.variants != Variants()):
            raise ValueError("versions and variants come from generators only")
        if self.jsonl and self.spacing != "usual":
            raise ValueError("'spacing' is of what a generator writes")
        if self.instructed and (self.generator is None or self.plain):
            raise ValueError("'instructed' is of a generator's questions and answers")
        if self.respaced and (self.generator is None or self.plain or self.spacing != "usual"):
            raise ValueError("'respaced' is of a generator's questions and answers in the usual spacing")
        if self.jsonl and bool(self.controls) != bool(self.jsonl_controls):
            raise ValueError("'jsonl' takes its 'controls' from 'jsonl_controls', and needs both or neither")
        return self

    @model_validator(mode="after")
    def _canaries_can_be_looked_for(self) -> Self:
        if self.canaries:
            self.canaries.check_room(CanaryExposure.model_fields["references"].default)
            if self.canaries.words < 2:
                raise ValueError("a canary of one word leaves no beginning that its last word could complete")
        return self

    @property
    def plain(self) -> bool:
        """Whether it holds plain texts: for pretraining and replay, never audited."""
        return self.generator == "plain"


class _StageSection(Section):
    name: Name
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    learning_rate: Rate
    batch_size: Positive = 32
    warmup: Share = 0.05
    lora_rank: Count = 0


class Pretrain(_StageSection):
    """Next-token training on plain texts."""

    kind: Literal["pretrain"]


class Sft(_StageSection):
    """Supervised fine-tuning in the chat template. ``replay`` is the share of rows that are plain text."""

    kind: Literal["sft"]
    loss: Literal["all", "response"] = "all"
    replay: Share = 0.0
    order: Literal["shuffled", "kept"] = "shuffled"


class Dpo(_StageSection):
    """Direct preference optimisation. ``replay`` weighs the loss of plain text beside the pairs' own."""

    kind: Literal["dpo"]
    beta: Rate = 0.1
    replay: Annotated[float, Field(ge=0, le=100)] = 0.0


class Grpo(_StageSection):
    """Reinforcement learning with verifiable rewards (Dr. GRPO). ``batch_size`` counts samples."""

    kind: Literal["grpo"]
    samples: Annotated[int, Field(ge=2, le=1024)] = 8
    max_new_tokens: Positive = 32
    temperature: Annotated[float, Field(gt=0, le=10)] = 1.0
    replay: Annotated[float, Field(ge=0, le=100)] = 0.0

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.batch_size % self.samples:
            raise ValueError("'batch_size' counts samples, and should be a multiple of 'samples'")
        return self


Stage = Annotated[Pretrain | Sft | Dpo | Grpo, Field(discriminator="kind")]


class AuditOptions(Section):
    """What the family's policy asks for."""

    samples: Positive = 3000
    bos_samples: Positive = 500
    max_new_tokens: Positive = 96
    batch_size: Positive = 512
    model_probes: bool = True  # those that sample replies or take gradients: the slow ones
