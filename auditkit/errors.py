"""The one error root. Every error that a user can cause says what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def visible(text: str, keep: str = "") -> str:
    """Text of unknown origin, such as a file's name, fit for a terminal: what cannot be seen, or would act, is escaped.

    ``keep`` are characters that may stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


class AuditkitError(Exception):
    """Something the user can act on.

    ``message`` says what is wrong, ``hint`` what to do. ``exit_code`` is what the command line exits with
    (0 pass, 1 fail, 2 wrong input, 3 inconclusive, 4 broken or interrupted).
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message}\n  -> {self.hint}" if self.hint else self.message
        return visible(text, keep="\n")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file: where, what, and what to do."""

    file: Path
    line: int | None
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        text = visible(f"{place}: {self.message}")
        return f"{text}\n  -> {visible(self.hint)}" if self.hint else text


class ProblemsError(AuditkitError):
    """Several problems at once, each with its file and line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class PolicyError(ProblemsError):
    """The policy is wrong; nothing was run."""


class DataError(ProblemsError):
    """A dataset cannot be read, or has more bad lines than the policy allows."""


class ModelError(AuditkitError):
    """A model cannot be opened: missing, unsafe, or not what was declared."""


class TemplateError(ModelError):
    """A chat template cannot be rendered, or refuses what an attack needs."""


class MitigationFailedError(AuditkitError):
    """A mitigation could not be made to work here: its arm is reported as failed, and the run goes on."""


class MissingExtraError(AuditkitError):
    """An optional dependency is not installed; the hint names the pip command."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed", f"pip install 'auditkit[{extra}]'")


class SigningError(AuditkitError):
    """A key or certificate is missing or unusable."""


class RunError(AuditkitError):
    """The run broke or was interrupted; it can be resumed."""

    exit_code = 4
