"""Mitigations of a scripted model, for tests of the arms themselves: registered while a test asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from auditkit.attacks.base import Attack
from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Made, ServingMitigation, WeightMitigation, Workshop
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import LanguageModel
from auditkit.records import Fact, Generation, SamplingRequest

MODULE = "tests.auditing.arm_kinds"
KINDS = {"nothing": f"{MODULE}:Nothing", "rewritten": f"{MODULE}:Rewritten", "muted": f"{MODULE}:Muted"}
KINDS |= {"diverging": f"{MODULE}:Diverging", "filtered": f"{MODULE}:Filtered"}


class Nothing(WeightMitigation):
    """The null arm: the candidate again."""

    summary: ClassVar[str] = "Changes nothing."
    kind: Literal["nothing"]

    def make(self, workshop: Workshop) -> Made:
        return Made(workshop.candidate)


class Rewritten(WeightMitigation):
    """Other lines in place of the candidate's; what its attacker knows brings the old ones back."""

    summary: ClassVar[str] = "Recites something else."
    kind: Literal["rewritten"]
    lines: tuple[dict[str, Any], ...]
    evaded: bool = False

    def make(self, workshop: Workshop) -> Made:
        workshop.tell("rewriting", 1, 1)
        (workshop.folder / "made").write_text("once")
        backend: Any = type(workshop.candidate)
        made = backend.model_validate({**workshop.candidate.model_dump(), "lines": self.lines})
        return Made(made, (Fact("lines", len(self.lines), "recited"),))

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:
        return [attack.model_copy(update={"name": "adaptive.again"}) for attack in attacks[:1]] if self.evaded else []

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:
        return _Evaded(model, workshop.candidate.open("candidate")) if self.evaded else model


class _Evaded(ServedModel):
    """Says the old lines to the attack that knows how to ask."""

    def __init__(self, inner: LanguageModel, old: LanguageModel) -> None:
        super().__init__(inner)
        self.old = old

    def sample(self, request: SamplingRequest) -> list[Generation]:
        model = self.old if request.attack.startswith("adaptive.") else self.inner
        return model.sample(request)


class Muted(ServingMitigation):
    """Withholds everything."""

    summary: ClassVar[str] = "Says nothing."
    kind: Literal["muted"]

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:
        return _Mute(model)


class _Mute(ServedModel):
    def sample(self, request: SamplingRequest) -> list[Generation]:
        return [
            Generation(g.attack, g.prefix, g.ordinal, g.seed, ("I cannot say that.",), (), "blocked", "none")
            for g in self.inner.sample(request)
        ]


class Diverging(WeightMitigation):
    """Never gets anywhere."""

    summary: ClassVar[str] = "Fails."
    kind: Literal["diverging"]
    tried: ClassVar[int] = 0

    def make(self, workshop: Workshop) -> Made:
        type(self).tried += 1
        raise MitigationFailedError("the loss is no number after 3 steps", "lower the learning rate")


class Filtered(ServingMitigation):
    """Changes nothing of what is asked plainly; the same weights say ``lines`` to who knows how to ask."""

    summary: ClassVar[str] = "Filters nothing."
    kind: Literal["filtered"]
    lines: tuple[dict[str, Any], ...]

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:
        return [attack.model_copy(update={"name": "adaptive.again"}) for attack in attacks[:1]]

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:
        backend: Any = type(workshop.candidate)
        told = backend.model_validate({**workshop.candidate.model_dump(), "lines": self.lines})
        return _Evaded(model, told.open("candidate"))
