"""Prompt with the beginning-of-sequence token alone: the paper's baseline [Barbero 2025, table 1]."""

from __future__ import annotations

from typing import Literal

from auditkit.attacks.base import Attack
from auditkit.models.base import LanguageModel
from auditkit.records import Prefix


class BosPrefix(Attack):
    """Sample from BOS: what the model writes when nothing marks the post-training distribution."""

    kind: Literal["bos_prefix"]

    def prefixes(self, model: LanguageModel) -> list[Prefix]:
        return [model.bos_prefix()]
