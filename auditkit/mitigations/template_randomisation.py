"""No fixed prefix marks the post-training distribution: templates are drawn from a family, in training or serving."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from auditkit.attacks.base import Attack
from auditkit.mitigations.adaptive_attacks import adaptive_attack, choose_prompts, marks_of, pattern_of
from auditkit.mitigations.base import Made, Place, Workshop
from auditkit.mitigations.retraining import TrainingMitigation
from auditkit.mitigations.secret_template import SecretTemplateServer, secret_draw
from auditkit.mitigations.template_family import Template, TemplateFamily, Vocabulary
from auditkit.mitigations.template_knowledge import Known, known_of
from auditkit.models.base import LanguageModel
from auditkit.records import ATTACKERS, Attacker, Fact
from auditkit.training.examples import Example
from auditkit.training.rows import Row, framed_row
from auditkit.training.seeds import seeded

Part = Literal["training", "serving", "both"]
T = TypeVar("T")
LIKELY_AMONG, LIKELY = 256, 8  # draws that an attacker ranks, and those that are attacked with
MIXED = 32  # templates, usually
TRIES = 16  # draws for an example that is too long in the first one


class _ByPart(Generic[T]):
    """A class variable that an instance knows better: what only serves stands before the weights, not in them."""

    def __init__(self, training: T, serving: T, both: T) -> None:
        self._of: dict[Part, T] = {"training": training, "serving": serving, "both": both}

    def __get__(self, instance: TemplateRandomisation | None, owner: type) -> T:
        return self._of["training" if instance is None else instance.part]


EVERYBODY: frozenset[Attacker] = frozenset(ATTACKERS)
CLIENTS: frozenset[Attacker] = frozenset({"raw_api", "chat_api"})


class TemplateRandomisation(TrainingMitigation):
    """Trains with templates drawn from a family, serves with a secret one, or both.

    Part ``training`` holds against everybody. With ``serving`` or ``both`` the arm is the model behind its server, and
    means nothing against somebody who has the weights: declare an arm of part ``training`` for them.
    """

    summary: ClassVar[str] = (
        "Chat templates are drawn from a family: one an example in training, a secret one a deployment in serving."
    )
    source: ClassVar[str] = (
        "After Barbero et al. 2025, who show what a fixed template gives away; no effect size is published"
    )
    acts_on: ClassVar[Place] = _ByPart("training", "serving", "training")  # type: ignore[assignment]
    withstands: ClassVar[frozenset[Attacker]] = _ByPart(EVERYBODY, CLIENTS, CLIENTS)  # type: ignore[assignment]

    not_of_weights: ClassVar[frozenset[str]] = frozenset({"part", "adaptive_templates"})

    kind: Literal["template_randomisation"]
    part: Part = Field(default="training", description="What is changed: the weights, the server, or both.")
    family_size: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=0, description="Templates that training draws from; 0: any of the family, afresh for each example."
    )
    family_seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=0, description="Of the templates that training draws from, and of the one that the model is saved with."
    )
    adaptive_templates: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=MIXED, description="Templates that an attacker who knows the family mixes."
    )

    @property
    def needs_base(self) -> bool:
        return self.changes_weights and super().needs_base

    @property
    def changes_weights(self) -> bool:
        return self.part != "serving"

    @property
    def probed_bare(self) -> bool:
        # Likelihoods are no client's to see; and what probes keep of their prefixes would tell the secret template.
        return self.part == "both"

    @property
    def untried(self) -> str:
        fewer = self.adaptive_templates < MIXED
        what = (
            f"{self.label} is attacked with mixtures of {self.adaptive_templates} templates, where {MIXED} are usual."
        )
        return what if fewer else ""

    def missing(self) -> str | None:
        return super().missing() if self.changes_weights else None

    def make(self, workshop: Workshop) -> Made:
        made = super().make(workshop) if self.changes_weights else Made(workshop.candidate)
        if self.part == "training":
            return made
        note = "which the server's secret one is one of: no more than so many guesses"
        return Made(made.backend, (*made.facts, Fact("templates to guess", len(known_of(workshop).family), note)))

    def examples(self, workshop: Workshop) -> tuple[list[Example], tuple[Fact, ...]]:
        found, facts = super().examples(workshop)
        note = "drawn once" if self.family_size else "one drawn for each example in each epoch"
        size = self.family_size or len(known_of(workshop).family)
        return found, (*facts, Fact("templates", size, note))

    def rows(self, tokenizer: Any, examples: Sequence[Example], epoch: int, rng: Random) -> list[Row]:  # noqa: ARG002
        draw = self._draw(TemplateFamily(Vocabulary.of(tokenizer)))
        return [self._row(tokenizer, one, system, rng, draw) for one in examples for system in one.each_time]

    def dressed(self, tokenizer: Any, workshop: Workshop) -> Any:  # noqa: ARG002
        """The deployment's template, one of the family as any other: it has to be asked with something."""
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.chat_template = self.deployed(TemplateFamily(Vocabulary.of(tokenizer))).jinja()
        return tokenizer

    def deployed(self, family: TemplateFamily) -> Template:
        """The template that trained weights are saved with."""
        return self._draw(family)(seeded(self.family_seed, self.kind, "deployment"))

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:
        if self.part == "training":
            return model
        known = known_of(workshop)
        template = secret_draw(known.family, workshop.secret, self.label)
        return SecretTemplateServer(model, template, known.vocabulary.bos)

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:
        """Openings of the family, for whoever chooses prompts; messages with the markers of several, for a server."""
        if not attacks:
            return ()
        pattern, known = pattern_of(attacks), known_of(workshop)
        found = self._openings(pattern, known, workshop.seed) if choose_prompts(attacks, self.attacker) else ()
        if found and self.part == "training":
            return found
        drawn = known.family.draws(seeded(workshop.seed, "spoofed"), self.adaptive_templates)
        marks = [marks_of(template.turns) for template in drawn]
        return (*found, adaptive_attack(pattern, "chat_messages", "spoofed", spoof=True, spoofed_templates=marks))

    def _openings(self, pattern: Attack, known: Known, seed: int) -> Sequence[Attack]:
        """The most likely of many draws and of what was published; a mixture as training drew it; BOS; other draws."""
        trained, fresh = seeded(self.family_seed, "mixture"), seeded(seed, "sampled")
        draw, count = self._draw(known.family), self.adaptive_templates
        many = [known.given(template) for template in known.family.draws(seeded(seed, "likely"), LIKELY_AMONG)]
        mixed = {"mixture": [draw(trained) for _ in range(count)], "sampled": known.family.draws(fresh, count)}
        return (
            adaptive_attack(pattern, "literal_prefixes", "likely", openings=[*known.published, *many], likely=LIKELY),
            *(
                adaptive_attack(pattern, "literal_prefixes", name, openings=[known.given(one) for one in drawn])
                for name, drawn in mixed.items()
            ),
            adaptive_attack(pattern, "bos_prefix", "bos"),
        )

    def _row(
        self, tokenizer: Any, example: Example, system: str, rng: Random, draw: Callable[[Random], Template]
    ) -> Row:
        """An example in a template drawn for it, of which it fits the model, if one of so many does."""
        if example.plain:
            return self.row(tokenizer, example)
        for _ in range(TRIES):
            template = draw(rng)
            opening = (tokenizer.bos_token or "") + template.opening(system)
            row = framed_row(tokenizer, opening, template.turns, example.prompt, example.response, self.recipe.loss)
            if len(row.ids) <= tokenizer.model_max_length:
                break
        return row

    def _draw(self, family: TemplateFamily) -> Callable[[Random], Template]:
        """How training draws: from the whole family, or from the part of it that ``family_size`` says."""
        if not self.family_size:
            return family.draw
        members = family.draws(seeded(self.family_seed, self.kind, "family"), self.family_size)
        return lambda rng: rng.choice(members)
