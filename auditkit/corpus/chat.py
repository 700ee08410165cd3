"""Conversations as datasets write them: OpenAI style (role, content) and ShareGPT style (from, value)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from auditkit.corpus.text import flaw, normalise
from auditkit.corpus.unreadable import BadRowError

Role = Literal["system", "user", "assistant", "tool"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_call": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
_TYPE_NAMES = {
    type(None): "null",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """Who spoke, and what, normalised."""

    role: Role
    text: str


def clean_text(value: Any, field: str) -> str:
    """The normalised text of a field.

    Raises:
        BadRowError: not text, empty, or text that no report could carry.
    """
    if isinstance(value, bytes):  # what Parquet gives for a string column that was not declared as UTF-8
        value = _decoded(value, field)
    if value is None:
        raise BadRowError(f"empty field {field!r}")
    if not isinstance(value, str):
        raise BadRowError(f"field {field!r} is {type_name(value)}, not text")
    if problem := flaw(value):
        raise BadRowError(f"{problem} in field {field!r}")
    text = normalise(value)
    if not text:
        raise BadRowError(f"empty field {field!r}")
    return text


def type_name(value: Any) -> str:
    """What a value is, in the words of JSON."""
    return _TYPE_NAMES.get(type(value), "of another type")


def read_turns(value: Any, field: str) -> list[Turn]:
    """The turns of a conversation, system turns left out: they are no part of what user and model said.

    A turn whose only content is a tool call has no text and is left out too.

    Raises:
        BadRowError: not a list of messages, an unknown role, or a turn without text.
    """
    if not isinstance(value, list):
        raise BadRowError(f"field {field!r} is {type_name(value)}, not a list of messages")
    turns = [read_turn(message, field) for message in value]
    return [turn for turn in turns if turn is not None and turn.role != "system"]


def read_prompt(value: Any, field: str) -> list[Turn]:
    """The turns of a prompt that is either a text or a conversation.

    Raises:
        BadRowError: it is neither.
    """
    return read_turns(value, field) if isinstance(value, list) else [Turn("user", clean_text(value, field))]


def read_turn(message: Any, field: str) -> Turn | None:
    """One message, or None where it holds nothing but a tool call or an empty system text.

    Raises:
        BadRowError: not a message, an unknown role, or no text.
    """
    if not isinstance(message, dict):
        raise BadRowError(f"a message in {field!r} is {type_name(message)}, not an object")
    role = _role(message, field)
    content = _first(message, "content", "value")
    if not content and (role == "system" or message.get("tool_calls") or message.get("function_call")):
        return None
    return Turn(role, clean_text(_joined(content, field), field))


def split_prompt(turns: Sequence[Turn], field: str) -> tuple[str, list[Turn]]:
    """The first user turn, and all that follows it in order.

    Raises:
        BadRowError: nobody asks anything.
    """
    for position, turn in enumerate(turns):
        if turn.role == "user":
            return turn.text, list(turns[position + 1 :])
    raise BadRowError(f"no user turn in {field!r}")


def read_reply(value: Any, asked: Sequence[Turn], field: str) -> list[Turn]:
    """What answers the turns ``asked``: a text, a message, or a conversation.

    Of a conversation that repeats what was asked, all that follows; of any other, the assistant's last turns.

    Raises:
        BadRowError: there is no reply in it.
    """
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return [Turn("assistant", clean_text(value, field))]
    turns = read_turns(value, field)
    if len(turns) > len(asked) and turns[: len(asked)] == list(asked):
        return turns[len(asked) :]
    reply = list(takewhile(lambda turn: turn.role == "assistant", reversed(turns)))[::-1]
    if not reply:
        raise BadRowError(f"no assistant turn at the end of {field!r}")
    return reply


def join_turns(turns: Sequence[Turn]) -> str:
    """Turns in one block, one newline between two, as delimiters become in a generation."""
    return "\n".join(turn.text for turn in turns)


def _role(message: dict[str, Any], field: str) -> Role:
    name = _first(message, "role", "from")
    if name is None:
        raise BadRowError(f"a message in {field!r} has no role")
    role = _ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise BadRowError(f"a message in {field!r} has an unknown role")
    return role


def _first(message: dict[str, Any], *keys: str) -> Any:
    return next((message[key] for key in keys if message.get(key) is not None), None)


def _joined(content: Any, field: str) -> Any:
    """Content given in parts as one text; chat templates print the parts without anything between."""
    if not isinstance(content, list):
        return content
    return "".join(_part_text(part, field) for part in content)


def _part_text(part: Any, field: str) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else None
    if not isinstance(text, str):
        raise BadRowError(f"a part of a message in {field!r} is not text")
    return text


def _decoded(value: bytes, field: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadRowError(f"bad UTF-8 in field {field!r}") from None
