"""What a reader says of a row that is no record, and of a file that it cannot get to the end of."""

from __future__ import annotations


class BadRowError(Exception):
    """A row that is no record. ``reason`` names fields and types, never what is in them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadableFileError(Exception):
    """A file that is damaged, hostile or not laid out as declared. Its message holds none of the file's text."""

    def __init__(self, message: str, hint: str = "write the file again, or restore it from its source") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
