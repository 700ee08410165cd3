"""What is known of a candidate's tokenizer and template before templates are drawn for it: read off once, and kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from auditkit.errors import MitigationFailedError
from auditkit.files import write_bytes
from auditkit.mitigations.adaptive_attacks import marks_of
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.template_family import Template, TemplateFamily, Vocabulary
from auditkit.mitigations.user_text import special_tokens
from auditkit.models.base import LanguageModel
from auditkit.records import TurnFormat

FILE = "templates.json"


@dataclass(frozen=True)
class Known:
    """The family of a candidate's tokenizer, and the template that the candidate was published with.

    ``opening`` is "" and ``turns`` None where it carries none.
    """

    vocabulary: Vocabulary
    opening: str
    turns: TurnFormat | None

    @property
    def family(self) -> TemplateFamily:
        """The templates that can be drawn for it."""
        return TemplateFamily(self.vocabulary)

    @property
    def published(self) -> list[dict[str, Any]]:
        """The published template's opening, as `literal_prefixes` takes it; none where it carries none."""
        turns = {"turns": marks_of(self.turns)} if self.turns else {}
        return [{"name": "published", "text": self.opening, **turns}] if self.opening else []

    def given(self, template: Template) -> dict[str, Any]:
        """A drawn template's opening, as `literal_prefixes` takes it."""
        return {"text": self.vocabulary.bos + template.user, "turns": marks_of(template.turns)}


def known_of(workshop: Workshop) -> Known:
    """Asked of the candidate once; of a file in the arm's folder from then on.

    Raises:
        MitigationFailedError: its tokenizer has no end of sequence.
    """
    path = workshop.folder / FILE
    if not path.exists():
        with workshop.candidate.open("candidate") as model:
            turns = model.turn_format()
            opening = model.template_prefix(None).text if turns else ""
            found = Known(_vocabulary(model, workshop), opening, turns)
        write_bytes(path, json.dumps(asdict(found)).encode())
    kept = json.loads(path.read_bytes())
    own = kept["vocabulary"]
    vocabulary = Vocabulary(own["bos"], own["eos"], tuple(own["marks"]))
    return Known(vocabulary, kept["opening"], TurnFormat(**kept["turns"]) if kept["turns"] else None)


def _vocabulary(model: LanguageModel, workshop: Workshop) -> Vocabulary:
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is not None:
        return Vocabulary.of(tokenizer)
    said = workshop.candidate.preflight("candidate")
    if not said.eos_token:
        raise MitigationFailedError("the model has no end of sequence", "nothing would end an answer")
    ends = (said.bos_token, said.eos_token)
    return Vocabulary(*ends, tuple(sorted(token for token in special_tokens(model) if token not in ends)))
