"""Where a finding's record stands: in a file of the repository, or in one that is kept outside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from auditkit.report.base import AuditReport, Finding


@dataclass(frozen=True, slots=True)
class Place:
    """``file`` is relative to the repository's root; for a file outside it begins with the dataset's name.

    ``line`` is the 1-based line (for Parquet the row), 0 where it is not known.
    """

    file: str
    line: int
    inside: bool

    @property
    def text(self) -> str:
        """As people write it: file:line."""
        return f"{self.file}:{self.line}" if self.line >= 1 else self.file


def place_of(finding: Finding, report: AuditReport) -> Place:
    """Where the record of a finding stands. No path of the auditor's machine is ever told."""
    folders = {dataset.name: dataset.folder for dataset in report.datasets}
    folder, file = folders.get(finding.dataset), PurePosixPath(finding.file.replace("\\", "/"))
    if file.is_absolute() or ".." in file.parts:
        folder, file = None, PurePosixPath(file.name)
    inside = PurePosixPath(folder) if folder is not None else PurePosixPath(finding.dataset)
    return Place(str(inside / file), max(0, finding.line), folder is not None)
