"""Prompt with the chat template's opening and nothing else [Barbero 2025, sec. 3.1; Magpie]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from auditkit.attacks.base import Attack
from auditkit.models.base import LanguageModel
from auditkit.records import Prefix
from auditkit.registry import Plugin


class LiteralPrefix(Plugin):
    """A prefix written out by hand."""

    literal: Annotated[str, Field(min_length=1, max_length=100_000)]


class TemplatePrefix(Attack):
    """Sample from the text that the chat template emits before the user's first word."""

    kind: Literal["template_prefix"]
    prefix: Literal["auto"] | LiteralPrefix = Field(
        default="auto", description="auto: derived from the model's own chat template; or {literal: '...'}."
    )
    system: Literal["default", "none", "both"] = Field(
        default="both",
        description="With the template's own default system text, without any, or half of the samples each.",
    )

    def prefixes(self, model: LanguageModel) -> list[Prefix]:
        if isinstance(self.prefix, LiteralPrefix):
            return [model.literal_prefix(self.prefix.literal)]
        systems: dict[str, tuple[str | None, ...]] = {"default": (None,), "none": ("",), "both": (None, "")}
        found = [model.template_prefix(system) for system in systems[self.system]]
        # A template without a default system text gives the same opening twice.
        return list({prefix.token_ids: prefix for prefix in reversed(found)}.values())[::-1]
