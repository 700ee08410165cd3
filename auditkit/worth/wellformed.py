"""What shows in one turn alone that it is debris: a template's markup in it as text, or a loop."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = (
    r"<\|[^|<>\n]{1,60}\|>",  # ChatML, Llama 3, Phi
    r"<｜[^｜<>\n]{1,60}｜>",  # DeepSeek
    r"\[/?INST\]|\[/?SYSTEM_PROMPT\]|\[/?AVAILABLE_TOOLS\]|\[TOOL_CALLS\]|\[/?TOOL_RESULTS\]",  # Mistral
    r"<</?SYS>>",  # Llama 2
    r"<(?:start|end)_of_turn>",  # Gemma
    r"</?s>|<(?:bos|eos|pad|unk|sep|cls|mask)>",
)
_ROLES = (
    r"^[ \t]*(?:user|human|assistant|system)[ \t]*:",
    r"^[ \t]*\#{2,4}[ \t]*(?:user|human|assistant|system|instruction|response|input)\b[ \t]*:?",
    r"^(?:user|assistant|system)[ \t]*\n",  # what is left of ChatML once its tokens are gone
)
_MARKUP = re.compile("|".join((*_SPECIAL, *_ROLES)), re.IGNORECASE | re.MULTILINE)
# A long word is several pieces, so that "aaaa..." and scripts without spaces are looked at as well.
_PIECE = re.compile(r"\w{1,8}|[^\w\s]")
IN_A_ROW = 4
FEWEST = 8  # sequences; of fewer nothing is said


def markup_pattern(more: Sequence[str] = (), *, known: bool = True) -> re.Pattern[str]:
    """What finds markup in a turn: special tokens and role markers of known templates, and the texts of ``more``."""
    if known and not more:
        return _MARKUP
    parts = [re.escape(text) for text in more] + ([_MARKUP.pattern] if known else [])
    return re.compile("|".join(parts), _MARKUP.flags)


def repetition(text: str) -> float:
    """The share of sequences of four words that stood in the text before, in [0, 1]: seq-rep-4 [Welleck 2020, sec. 6].

    A word here is at most 8 characters long, longer ones count as several; 0 for fewer than 8 sequences.
    """
    pieces = _PIECE.findall(text)
    sequences = len(pieces) - IN_A_ROW + 1
    if sequences < FEWEST:
        return 0.0
    different = len(set(zip(*(pieces[start:] for start in range(IN_A_ROW)), strict=False)))
    return 1 - different / sequences
