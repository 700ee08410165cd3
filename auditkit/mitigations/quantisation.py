"""Quantisation: every variant that ships is an arm of its own, for each answers in its own way."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from auditkit.errors import MitigationFailedError
from auditkit.files import make_folder
from auditkit.mitigations.base import Made, Mitigation, Workshop
from auditkit.mitigations.changed_weights import UNPACKED, WEIGHTS, Changed, ChangedWeights, told_plainly
from auditkit.mitigations.quantised_gguf import FILE, GgufModel, GgufType, NoTokenizer, gguf_model, refuse_misread
from auditkit.mitigations.quantised_network import quantised_dynamically
from auditkit.mitigations.quantised_weights import Grid, quantise
from auditkit.mitigations.saved_weights import read_facts
from auditkit.mitigations.starting_point import digest
from auditkit.models.base import LanguageModel
from auditkit.records import Fact
from auditkit.training.recipe import resolved_path

ON_TRIAL = ".on-trial-"
READ_BACK = 1000  # members of a dataset whose ids are compared
Scheme = Literal["int8_dynamic", "int8", "int4", "gguf"]


class Quantisation(ChangedWeights):
    """The candidate in fewer bits, as it might ship."""

    summary: ClassVar[str] = "The candidate's weights in fewer bits, as this variant of it would ship."
    source: ClassVar[str] = "Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339; GGUF: the ggml project's specification"

    kind: Literal["quantisation"]
    schemes: Annotated[list[Scheme], Field(min_length=1, max_length=4)] = Field(
        default=["int8", "int4"],
        description="An arm for each, named NAME.SCHEME. int8, int4: weights of the linear layers rounded to the "
        "nearest of a symmetric grid, for each output (8 bits) or each 32 inputs of it (4 bits), computed in the "
        "candidate's dtype. int8_dynamic: PyTorch's, which quantises activations too, on the CPU. gguf: llama.cpp's.",
    )
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="For gguf: the .gguf file that ships, relative to the policy; by default one is written, which "
        "works for Llama models with a byte-level BPE.",
    )
    gguf_type: GgufType = Field(default="Q8_0", description="For gguf, where a file is written: how its tensors are.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if len(set(self.schemes)) < len(self.schemes):
            raise ValueError("'schemes' names one twice")
        if self.path and "gguf" not in self.schemes:
            raise ValueError("'path' is for schemes: [gguf]; declare other weights as kind: checkpoint")
        if self.path and not self.path.endswith(".gguf"):
            raise ValueError("'path' should name a .gguf file; declare other weights as kind: checkpoint")
        return self

    @property
    def has_gradients(self) -> bool:
        return "int8_dynamic" not in self.schemes

    def resolved(self, folder: Path) -> Self:
        return self.model_copy(update={"path": self.path and resolved_path(folder, self.path)})

    def arms(self) -> Sequence[Mitigation]:
        return [self._arm(scheme) for scheme in self.schemes]

    def missing(self) -> str | None:
        if self._scheme == "gguf" and self.path:
            return None
        return super().missing()

    def make(self, workshop: Workshop) -> Made:
        if self._scheme == "int8_dynamic":
            note = "the linear layers of the open model, activations too; on the CPU, nothing is saved"
            return Made(workshop.candidate, (Fact("quantised", "int8 dynamic", note),))
        return self._gguf(workshop) if self._scheme == "gguf" else super().make(workshop)

    def change(self, workshop: Workshop) -> Changed:
        grid: Grid = "int8" if self._scheme == "int8" else "int4"
        model, tokenizer = workshop.open_for_training(workshop.candidate)
        return Changed(model, tokenizer, quantise(model, grid))

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:  # noqa: ARG002
        """The model itself, save for int8_dynamic: its network is quantised in memory."""
        if self._scheme != "int8_dynamic":
            return model
        with told_plainly():
            return quantised_dynamically(model)

    def parameters(self) -> dict[str, Any]:
        written = self._scheme == "gguf" and not self.path
        return {"scheme": self._scheme} | ({"gguf_type": self.gguf_type} if written else {})

    @property
    def _scheme(self) -> Scheme:
        if len(self.schemes) != 1:
            raise MitigationFailedError("several schemes are several arms", "ask arms() for them")
        return self.schemes[0]

    def _arm(self, scheme: Scheme) -> Mitigation:
        path = self.path if scheme == "gguf" else None
        return self.model_copy(update={"name": f"{self.label}.{scheme}", "schemes": [scheme], "path": path})

    def _gguf(self, workshop: Workshop) -> Made:
        if self.path:
            with told_plainly():
                backend = workshop.candidate.with_weights(Path(self.path), workshop.folder / UNPACKED)
                known = backend.preflight(self.kind).identity
            return Made(backend, (Fact("sha256", known.sha256, "of the file that ships"),) if known else ())
        folder = make_folder(workshop.folder) / WEIGHTS
        facts = read_facts(folder)
        if facts is None:
            with told_plainly():
                made = self._written(workshop)
            facts = made.facts
            self._save(folder, Changed(made, NoTokenizer(), facts), digest(workshop.candidate))
        return Made(workshop.candidate.with_weights(folder / FILE, workshop.folder / UNPACKED), facts)

    def _written(self, workshop: Workshop) -> GgufModel:
        """The file, written once to be read back, and kept only where it says what was meant."""
        model, tokenizer = workshop.open_for_training(workshop.candidate)
        made = gguf_model(model, tokenizer, self.gguf_type)
        for left in workshop.folder.glob(f"{ON_TRIAL}*"):  # by a process that was killed
            shutil.rmtree(left)
        with TemporaryDirectory(dir=workshop.folder, prefix=ON_TRIAL) as folder:
            made.save_pretrained(Path(folder))
            written = workshop.candidate.with_weights(Path(folder) / FILE, Path(folder) / UNPACKED)
            back = workshop.open_for_training(written)
        texts = [record.text for data in workshop.datasets for record in data.members[:READ_BACK]]
        refuse_misread(model, tokenizer, *back, [*texts, tokenizer.chat_template or ""])
        return made
