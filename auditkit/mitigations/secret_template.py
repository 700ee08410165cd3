"""A server with a template of its own, which nobody outside knows."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from random import Random

from auditkit.mitigations.rendering import RenderingServer
from auditkit.mitigations.template_family import Template, TemplateFamily, family_forms
from auditkit.mitigations.user_text import marker_pattern, role_markers, stripped
from auditkit.models.base import LanguageModel
from auditkit.records import ONE_TURN, Prefix


def secret_draw(family: TemplateFamily, secret: bytes, deployment: str) -> Template:
    """The template of one deployment: the same for the same secret, and told by nothing else."""
    digest = hmac.new(secret, f"chat template of {deployment}".encode(), hashlib.sha256).digest()
    return family.draw(Random(int.from_bytes(digest, "big")))  # noqa: S311 - the secrecy is the key's


class SecretTemplateServer(RenderingServer):
    """Wraps every prompt, whole texts for completion included, as a message in its own template, without markers.

    What a client gets to see as prefixes is what the client sends: the model's published template and BOS are text
    like any other here, and are stripped.
    """

    def __init__(self, inner: LanguageModel, template: Template, bos: str) -> None:
        opening = replace(inner.literal_prefix(bos + template.user), name="secret")
        super().__init__(inner, opening, template.turns)
        published = inner.turn_format()
        markers = role_markers(published, self.special) if published else frozenset()
        self._markers = marker_pattern(self.special, markers, family_forms(self.special))

    def cleaned(self, text: str) -> str:
        found = stripped(text, self._markers)
        return text if found == text else found.strip()

    def template_prefix(self, system: str | None) -> Prefix:
        return self._sent(self.inner.template_prefix(system))

    def literal_prefix(self, text: str) -> Prefix:
        return self._sent(self.inner.literal_prefix(text))

    def bos_prefix(self) -> Prefix:
        return self._sent(self.inner.bos_prefix())

    def _sent(self, prefix: Prefix) -> Prefix:
        return replace(prefix, turns=ONE_TURN)
