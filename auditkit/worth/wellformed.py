"""What shows in one turn alone that it is debris: a template's markup in it as text, or a loop."""

from __future__ import annotations

import re

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
_SPECIAL_TOKEN = re.compile("|".join(_SPECIAL), re.IGNORECASE)
_ROLE_MARKER = re.compile("|".join(_ROLES), re.IGNORECASE | re.MULTILINE)
_ROLE_WORDS = ("user", "human", "assistant", "system", "##")
# A long word is several pieces, so that "aaaa..." and scripts without spaces are looked at as well.
_PIECE = re.compile(r"\w{1,8}|[^\w\s]")
WORD = 12  # characters; where words are longer than that on average, they are none
IN_A_ROW = 4
FEWEST = 8  # sequences; of fewer nothing is said


def has_markup(text: str) -> bool:
    """Whether a turn holds a known template's special token or role marker as text.

    What every one of them holds is looked for first: most texts are done with after that.
    """
    if ("<" in text or "[" in text) and _SPECIAL_TOKEN.search(text):
        return True
    lower = text.lower()
    return any(word in lower for word in _ROLE_WORDS) and _ROLE_MARKER.search(text) is not None


def repetition(text: str) -> float:
    """The share of sequences of four words that stood in the text before, in [0, 1]: seq-rep-4 [Welleck 2020, sec. 6].

    Words are what stands between white space; where that is more than 12 characters on average, pieces of up to 8. 0
    for fewer than 8 sequences.
    """
    words = _words(text)
    sequences = len(words) - IN_A_ROW + 1
    if sequences < FEWEST:
        return 0.0
    different = len(set(zip(*(words[start:] for start in range(IN_A_ROW)), strict=False)))
    return 1 - different / sequences


def is_repetitive(text: str, most: float) -> bool:
    """Whether ``repetition`` is above ``most``. Sequences are not counted where the words alone say that it is not."""
    words = _words(text)
    sequences = len(words) - IN_A_ROW + 1
    # Every word but the last three begins a sequence: there are at least as many different ones.
    if sequences < FEWEST or len(set(words)) - IN_A_ROW + 1 >= (1 - most) * sequences:
        return False
    return repetition(text) > most


def _words(text: str) -> list[str]:
    words = text.split()
    return words if len(text) <= WORD * len(words) else _PIECE.findall(text)
