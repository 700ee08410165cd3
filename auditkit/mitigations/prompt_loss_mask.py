"""Prompt loss mask: the user's turn is read and never learnt."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from auditkit.mitigations.retraining import TrainingMitigation
from auditkit.training.examples import Example
from auditkit.training.rows import Row, chat_row, plain_row


class PromptLossMask(TrainingMitigation):
    """Retrains with loss on the answers alone, whatever the recipe's ``loss`` says."""

    summary: ClassVar[str] = "Retrained with loss on the assistant's turn alone: what users wrote is never learnt."
    source: ClassVar[str] = "Shi et al. 2024, Instruction tuning with loss over instructions, arXiv:2405.14394"

    kind: Literal["prompt_loss_mask"]

    def row(self, tokenizer: Any, example: Example, system: str = "") -> Row:
        if example.plain:
            return plain_row(tokenizer, example.response)
        return chat_row(tokenizer, example.prompt, example.response, "response", system)
