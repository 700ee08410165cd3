"""The server renders the chat template; what users write can neither end their turn nor open another's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from auditkit.attacks.base import Attack
from auditkit.errors import MitigationFailedError, ModelError
from auditkit.mitigations.adaptive_attacks import adaptive_attack, pattern_of
from auditkit.mitigations.base import Made, ServingMitigation, Workshop
from auditkit.mitigations.filter_costs import false_block_share
from auditkit.mitigations.rendering import RenderingServer
from auditkit.mitigations.user_text import marker_pattern, role_markers
from auditkit.models.base import LanguageModel
from auditkit.records import Attacker, Estimate, Prefix, Record

OnMarker = Literal["escape", "refuse"]
# Near the usual markers, whatever the template has: what a model that saw other templates may take for one.
NEAR_MARKERS = (
    {"user_open": "### Instruction:\n", "turn_change": "\n\n### Response:\n", "assistant_close": "\n\n"},
    {"user_open": "User: ", "turn_change": "\nAssistant: ", "assistant_close": "\n"},
    {"user_open": "[user]\n", "turn_change": "\n[assistant]\n", "assistant_close": "\n"},
    {"user_open": "<|user|>\n", "turn_change": "</s>\n<|assistant|>\n", "assistant_close": "</s>\n"},
)


class TemplateEnforcement(ServingMitigation):
    """A chat server that renders the template itself and lets no marker through in a message."""

    withstands: ClassVar[frozenset[Attacker]] = frozenset({"chat_api"})
    summary: ClassVar[str] = (
        "The server renders the chat template; special tokens and role markers in messages are escaped or refused."
    )
    source: ClassVar[str] = "Jiang et al. 2024, ChatBug, arXiv:2406.12935, on attacks through template markers"

    kind: Literal["template_enforcement"]
    on_marker: OnMarker = Field(
        default="escape",
        description="escape: special tokens in a message become ordinary ones and role markers get a backslash; "
        "refuse: such a message is not answered.",
    )
    records: Annotated[
        int, Field(ge=1, le=100_000, description="Controls of each dataset that false refusals are counted on.")
    ] = 1000

    def make(self, workshop: Workshop) -> Made:
        if workshop.candidate.preflight("candidate").chat_template is None:
            raise MitigationFailedError(
                "the model carries no chat template, so there is none to enforce",
                "save the tokenizer with its template",
            )
        return Made(workshop.candidate)

    def serve(self, model: LanguageModel, workshop: Workshop) -> LanguageModel:  # noqa: ARG002
        return EnforcingServer(model, self.on_marker)

    def adaptive(self, attacks: Sequence[Attack], workshop: Workshop) -> Sequence[Attack]:  # noqa: ARG002
        """Markers inside a message: as they are, disguised, and those of other templates."""
        if not attacks:
            return ()
        pattern = pattern_of(attacks)
        hidden = ("zero_width", "homoglyph", "spaced", "upper_case")
        return (
            adaptive_attack(pattern, "chat_messages", "spoofed", spoof=True),
            adaptive_attack(pattern, "chat_messages", "disguised", spoof=True, disguises=hidden),
            adaptive_attack(pattern, "chat_messages", "near_markers", spoofed_templates=NEAR_MARKERS),
        )

    def utility(self, served: LanguageModel, workshop: Workshop) -> Sequence[Estimate]:
        """Questions of controls that are refused; nothing where markers are escaped."""
        if self.on_marker == "escape" or not isinstance(served, EnforcingServer):
            return ()

        def stops(records: Sequence[Record]) -> npt.NDArray[np.bool_]:
            return np.array([served.cleaned(record.prompt) is None for record in records], bool)

        return [false_block_share(dataset, stops, self.records, workshop.seed) for dataset in workshop.datasets]


class EnforcingServer(RenderingServer):
    """Takes messages, and nothing else.

    Raises:
        TemplateError: the model carries no chat template.
    """

    def __init__(self, inner: LanguageModel, on_marker: OnMarker) -> None:
        opening, turns = inner.template_prefix(None), inner.turn_format()
        assert turns, "a model that renders an opening has a template"
        super().__init__(inner, opening, turns)
        self.on_marker = on_marker
        markers = role_markers(turns, self.special)
        self._any = marker_pattern(self.special, markers)
        self._roles = marker_pattern((), markers)

    def cleaned(self, text: str) -> str | None:
        if self.on_marker == "refuse":
            return None if self._any.search(text) else text
        return self._roles.sub(_escaped, text)

    def template_prefix(self, system: str | None) -> Prefix:  # noqa: ARG002
        raise _no_raw_prompt()

    def literal_prefix(self, text: str) -> Prefix:  # noqa: ARG002
        raise _no_raw_prompt()

    def bos_prefix(self) -> Prefix:
        raise _no_raw_prompt()


def _escaped(marker: re.Match[str]) -> str:
    """A backslash between the white space and the marker: it no longer begins its line."""
    text = marker.group()
    return text[: len(text) - len(text.lstrip())] + "\\" + text.lstrip()


def _no_raw_prompt() -> ModelError:
    return ModelError("the server renders the template itself: it takes messages, no prompts", "use chat_messages")
