"""What a dataset declares of its rows: which fields hold the record, and how a reasoning trace is marked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldMap:
    """Names (or dotted paths) of the fields of a row that hold a record.

    One of three shapes: ``prompt`` with or without ``response``; ``messages``, a conversation; or ``prompt``,
    ``chosen`` and ``rejected``, a preference pair. Beside any of them, ``tags``: a text or a list of texts that
    leaks are grouped by.

    Raises:
        ValueError: none of these shapes.
    """

    prompt: str | None = None
    response: str | None = None
    messages: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    tags: str | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        if self.messages and (self.response or self.chosen or self.rejected):
            raise ValueError("'messages' stands alone")
        if self.response and self.chosen:
            raise ValueError("give 'response' or 'chosen', not both")
        if self.rejected and not self.chosen:
            raise ValueError("'rejected' needs 'chosen'")

    @property
    def names(self) -> tuple[str, ...]:
        """The declared fields, in order."""
        declared = (self.prompt, self.response, self.messages, self.chosen, self.rejected, self.tags)
        return tuple(name for name in declared if name)


@dataclass(frozen=True)
class TraceMarkers:
    """How an RL-trained model marks its reasoning and its final answer (see ``trace.py``)."""

    start: str
    end: str
    answer: str = ""
