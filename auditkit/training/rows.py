"""Rows to train on: token ids, and which of them carry loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from auditkit.errors import AuditkitError
from auditkit.records import TurnFormat

Loss = Literal["all", "response"]
IGNORED = -100  # the label that carries no loss, in torch and transformers
_MARK = "\u2404audited\u2404"  # no template holds this; it shows where the user's words go


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence. ``ids[:silent]`` are read and carry no loss; every later token does, but for ``dropped``.

    ``dropped`` are positions in ``ids``.
    """

    ids: tuple[int, ...]
    silent: int
    dropped: frozenset[int] = frozenset()

    @property
    def labels(self) -> list[int]:
        """(len(ids),) the ids that carry loss, ``IGNORED`` elsewhere."""
        return [IGNORED if at < self.silent or at in self.dropped else token for at, token in enumerate(self.ids)]

    @property
    def scored(self) -> bool:
        """Whether any token carries loss; the first of a text never does, for nothing predicts it."""
        return any(label != IGNORED for label in self.labels[1:])


def system_turns(given: Sequence[str], repeats: int) -> tuple[str, ...]:
    """(repeats,) the system turn that a record stands behind each time an epoch sees it: the given, then none ("")."""
    return (*given, *[""] * (repeats - len(given)))


def plain_row(tokenizer: Any, text: str) -> Row:
    """A plain text between the tokens that begin and end texts, with loss on all of it.

    A tokenizer without a beginning token of its own: the text begins with the end token, as in its pretraining.
    """
    end = plain_end(tokenizer)
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
    return Row((begin, *_encode(tokenizer, text), end), 1)


def plain_end(tokenizer: Any) -> int:
    """The id that ends a plain text: the padding token where it is one of its own, else the end of sequence."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)


def chat_row(tokenizer: Any, prompt: str, response: str, loss: Loss, system: str = "") -> Row:
    """A record in the tokenizer's chat template, behind a system turn where one is given.

    ``loss`` "all" is on the user's turn as well, as in pipelines that leak, but not on the constant opening: otherwise
    the beginning-of-text token alone would open the template. "response" is on the answer and its end only. Opening and
    rest are tokenised apart, as an attack that starts from the opening sees them.

    Raises:
        AuditkitError: the template changes texts, refuses a turn, or puts something before the user's turn that depends
            on it.
    """
    opening = chat_opening(tokenizer, system)
    asking = [*_system(system), {"role": "user", "content": prompt}]
    text = _render(tokenizer, [*asking, {"role": "assistant", "content": response}])
    if not text.startswith(opening + prompt):
        raise AuditkitError("the chat template changes what the user says", "train with a template that keeps texts")
    rest = tokenizer(text[len(opening) :], add_special_tokens=False, return_offsets_mapping=True)
    silent = 0
    if loss == "response":
        asked = _render(tokenizer, asking, add_generation_prompt=True)
        if not text.startswith(asked):
            raise AuditkitError("the chat template renders answers unlike what it prompts for", "use loss: all")
        silent = sum(start < len(asked) - len(opening) for start, _ in rest["offset_mapping"])
    head = _encode(tokenizer, opening)
    return Row((*head, *rest["input_ids"]), len(head) + silent)


def framed_row(  # noqa: PLR0917
    tokenizer: Any, opening: str, turns: TurnFormat, prompt: str, response: str, loss: Loss
) -> Row:
    """A record in turns marked as ``turns`` says, behind any opening text.

    ``opening`` runs up to the user's first word, ``turns.user_open`` included, and carries no loss; it and the rest are
    tokenised apart. ``loss`` is as for ``chat_row``.
    """
    head, asked = _encode(tokenizer, opening), prompt + turns.turn_change
    rest = tokenizer(asked + response + turns.assistant_close, add_special_tokens=False, return_offsets_mapping=True)
    silent = sum(start < len(asked) for start, _ in rest["offset_mapping"]) if loss == "response" else 0
    return Row((*head, *rest["input_ids"]), len(head) + silent)


def chat_opening(tokenizer: Any, system: str = "") -> str:
    """The text before the user's first word: constant, but for a system turn where one is given.

    Raises:
        AuditkitError: the tokenizer has no chat template, or the template hides a turn or refuses it.
    """
    if not tokenizer.chat_template:
        raise AuditkitError("this tokenizer has no chat template", "post-train a model that has one")
    opening, found, _ = _render(tokenizer, [*_system(system), {"role": "user", "content": _MARK}]).partition(_MARK)
    if not found:
        raise AuditkitError("the chat template does not show what the user says", "use another template")
    if system not in opening:
        raise AuditkitError("the chat template has no place for a system turn", "train without system turns")
    return opening


def _system(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": text}] if text else []


def batch_of(torch: Any, rows: Sequence[Row], pad: int) -> dict[str, Any]:
    """Tensors (rows, longest) ``input_ids``, ``attention_mask``, ``labels``, padded on the right."""
    width = max(len(row.ids) for row in rows)
    gaps = [width - len(row.ids) for row in rows]
    pairs = list(zip(rows, gaps, strict=True))
    return {
        "input_ids": torch.tensor([[*row.ids, *[pad] * gap] for row, gap in pairs]),
        "attention_mask": torch.tensor([[1] * len(row.ids) + [0] * gap for row, gap in pairs]),
        "labels": torch.tensor([row.labels + [IGNORED] * gap for row, gap in pairs]),
    }


def refuse_long(rows: Sequence[Row], context: int) -> None:
    """Raise AuditkitError where a row does not fit the model: cutting it would train on what no ledger says."""
    longest = max((len(row.ids) for row in rows), default=0)
    if longest > context:
        count = sum(len(row.ids) > context for row in rows)
        what = f"{count} of {len(rows)} training rows are longer than the model's context of {context} tokens"
        raise AuditkitError(f"{what}; the longest has {longest}", "leave long records out, or raise `context`")


def _render(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except TemplateError as error:  # what a template says that takes no system turn, or no lone one of the user
        what = f"the chat template refuses the conversation: {str(error)[:200]}"
        raise AuditkitError(what, "train without system turns, or with a template that takes them") from None


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
