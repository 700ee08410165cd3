"""What a corpus is: the records of one side (members or controls) of a declared dataset, as read."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.corpus.fields import TraceMarkers
from auditkit.corpus.trace import final_answer
from auditkit.records import Record, Split, View

__all__ = ["BadLine", "Corpus", "TraceMarkers", "final_answer"]


@dataclass(frozen=True)
class BadLine:
    """A line or row that is no record: where, and why ("not JSON", "missing field 'question'", ...). Never its text."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Corpus:
    """The records of one side of a dataset, in file order. Exact duplicates are kept and counted.

    ``bad`` lists the first bad lines only, ``bad_total`` counts them all.
    """

    dataset: str
    split: Split
    records: tuple[Record, ...]
    bad: tuple[BadLine, ...]
    duplicates: int
    file_digests: dict[str, str]  # file name -> sha256 of its bytes
    bad_total: int = 0

    @property
    def views(self) -> tuple[View, ...]:
        """The views that records of this corpus can be matched by: a prompt-only corpus has no whole record."""
        return ("record", "prompt") if any(record.response for record in self.records) else ("prompt",)

    def texts(self, view: View) -> list[str]:
        """One text a record, in order."""
        return [record.view(view) for record in self.records]
