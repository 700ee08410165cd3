"""Template families with a made-up tokenizer, and a script run through the turn machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from auditkit.models.delimiters import Delimiters, Tokens, delimiters
from auditkit.models.turns import next_step, read_turns, turn_texts
from auditkit.records import TurnFormat


@dataclass
class Words:
    """A tokenizer of words, with their leading space, and single white space; special tokens are recognised."""

    special: Sequence[str]
    stops: Sequence[str]
    vocabulary: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.encode("".join(self.special))
        for blank in (" ", "\n", "\t", "\n\n"):
            self.encode(blank)

    def encode(self, text: str) -> list[int]:
        marks = "|".join(sorted(map(re.escape, self.special), key=len, reverse=True)) or "(?!)"
        pieces = re.findall(rf"{marks}|\n+| ?\w+| ?[^\w\s]|\s", text)
        return [self.vocabulary.setdefault(piece, len(self.vocabulary)) for piece in pieces]

    def decode(self, ids: Sequence[int]) -> str:
        texts = {number: text for text, number in self.vocabulary.items()}
        return "".join(texts[number] for number in ids)

    def marks(self, turns: TurnFormat) -> Delimiters:
        special, stops = (frozenset(self.vocabulary[t] for t in names) for names in (self.special, self.stops))
        blank = frozenset(self.vocabulary[b] for b in (" ", "\n", "\t", "\n\n"))
        return delimiters(turns, Tokens(self.encode, stops, special, blank))


@dataclass
class Family:
    """A template family: its turns, its special tokens, and where generation libraries stop."""

    turns: TurnFormat
    special: Sequence[str]
    stops: Sequence[str]

    def words(self) -> Words:
        return Words(self.special, self.stops)


FAMILIES = {
    "chatml": Family(
        TurnFormat("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"),
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        ["<|im_end|>", "<|endoftext|>"],
    ),
    "chatml, stops at end of text only": Family(
        TurnFormat("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"),
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        ["<|endoftext|>"],
    ),
    "chatml with an empty thought": Family(
        TurnFormat(
            "<|im_start|>user\n",
            "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
            "<|im_end|>\n",
        ),
        ["<|im_start|>", "<|im_end|>"],
        ["<|im_end|>"],
    ),
    "llama 3": Family(
        TurnFormat(
            "<|start_header_id|>user<|end_header_id|>\n\n",
            "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            "<|eot_id|>",
        ),
        ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"],
        ["<|eot_id|>", "<|end_of_text|>"],
    ),
    "gemma": Family(
        TurnFormat("<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>\n"),
        ["<start_of_turn>", "<end_of_turn>", "<eos>"],
        ["<eos>", "<end_of_turn>"],
    ),
    "olmo 2": Family(
        TurnFormat("<|user|>\n", "\n<|assistant|>\n", "<|endoftext|>"),
        ["<|user|>", "<|assistant|>", "<|endoftext|>"],
        ["<|endoftext|>"],
    ),
    "phi": Family(
        TurnFormat("<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>\n"),
        ["<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"],
        ["<|endoftext|>", "<|end|>"],
    ),
    "mistral": Family(TurnFormat("[INST] ", " [/INST]", "</s>"), ["[INST]", "[/INST]", "</s>"], ["</s>"]),
    "llama 2": Family(TurnFormat("[INST] ", " [/INST] ", " </s>"), ["<s>", "</s>"], ["</s>"]),
    "zephyr": Family(TurnFormat("<|user|>\n", "</s>\n<|assistant|>\n", "</s>\n"), ["<s>", "</s>"], ["</s>"]),
    "alpaca": Family(TurnFormat("### Instruction:\n", "\n\n### Response:\n", "</s>\n\n"), ["<s>", "</s>"], ["</s>"]),
    "command r": Family(
        TurnFormat("<|START|><|USER|>", "<|END|><|START|><|CHATBOT|>", "<|END|>"),
        ["<|START|>", "<|END|>", "<|USER|>", "<|CHATBOT|>", "<eos>"],
        ["<|END|>", "<eos>"],
    ),
    "end of text between all turns": Family(TurnFormat("", "<|eos|>", "<|eos|>"), ["<|eos|>"], ["<|eos|>"]),
}
FAMILIES["role names in plain text"] = Family(TurnFormat("User: ", "\nAssistant: ", "</s>"), ["<s>", "</s>"], ["</s>"])
FAMILIES["role names behind an end of turn"] = Family(
    TurnFormat("User: ", "<end>\nAssistant: ", "<end>\n"), ["<end>", "</s>"], ["</s>", "<end>"]
)
FAMILIES["channels"] = Family(
    TurnFormat("<|start|>user<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    ["<|start|>", "<|message|>", "<|end|>", "<|channel|>", "<|return|>"],
    ["<|return|>"],
)
FAMILIES["end of sequence at the turn change's end"] = Family(
    TurnFormat("Human: ", "\n\nAssistant: </s>", "</s>"), ["<s>", "</s>"], ["</s>"]
)


@dataclass
class Played:
    """A scripted model run through the state machine: what the sampler does, without a model."""

    turns: tuple[str, ...]
    tokens: list[int]
    appended: tuple[int, int] | None
    ended: bool


def play(words: Words, marks: Delimiters, prefix: str, script: Sequence[str], limit: int = 500) -> Played:
    """Feed the script's next text whenever nothing is being appended."""
    start = len(words.encode(prefix))
    tokens, appended, ended = words.encode(prefix), None, False
    pending = [token for text in script for token in words.encode(text)]
    while pending and len(tokens) < limit and not ended:
        tokens.append(pending.pop(0))
        step = next_step(tokens, start, marks, words.decode, appended)
        ended = step.ends
        if step.append is not None:
            tokens = tokens[:-1] if step.replace else tokens
            appended = (len(tokens), len(tokens) + len(step.append))
            tokens = [*tokens, *step.append]
    found, _ = turn_texts(read_turns(tokens, start, marks, appended), marks, words.decode)
    return Played(found, tokens, appended, ended)
