"""One failed request to a service, as everybody who asks one knows it: a word for it, and whether to try again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from auditkit.errors import RunError

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED = frozenset({400, 413, 422})  # it is about what was asked, and asking again cannot mend it
SHORT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,39}")


class RequestRefusedError(RunError):
    """The service answers that the request is wrong, which asking again cannot mend.

    ``reason`` is the service's short name for it ("content_filter"), ``parameter`` the one that it complains of.
    """

    def __init__(self, message: str, hint: str, reason: str = "", parameter: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason
        self.parameter = parameter


@dataclass(frozen=True)
class Failure:
    """One failed request. Of an answer only short names are kept: the rest could hold the text or the key.

    ``asked``: seconds that the service asks to wait. ``charged``: whether the work may have been done, and billed,
    though no answer came.
    """

    what: str
    passing: bool
    code: int | None = None
    asked: float | None = None
    about_key: bool = False
    charged: bool = False
    reason: str = ""
    parameter: str = ""

    def final(self, service: str) -> RunError:
        """What the run stops with."""
        if self.about_key:
            return RunError(f"{service} answered {self.what}", "check the key and that it may use this model")
        if self.code in REFUSED:
            hint = "check what the policy asks of it; then run again with --resume"
            return RequestRefusedError(f"{service} answered {self.what}", hint, self.reason, self.parameter)
        if self.code is None:
            return RunError(f"{service} is out of reach: {self.what}", "run again with --resume")
        return RunError(f"{service} answered {self.what}", "run again with --resume once it takes requests")

    def too_long(self, service: str, wait: float, patience: float) -> RunError:
        """What the run stops with where the next try is too far away."""
        return RunError(
            f"{service} answered {self.what}; the next try would be in {wait:,.0f} s, and the policy waits "
            f"{patience:,.0f} s in all (patience_seconds)",
            "run again with --resume after that time",
        )


ReadFailure = Callable[[Exception], "Failure | None"]  # None: no failure of the service, but a fault of the program


def short_name(value: object) -> str:
    """A service's name for what went wrong, where it is a name and no sentence; else ""."""
    return str(value) if SHORT_NAME.fullmatch(str(value)) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the header Retry-After asks for, as a number or as a date [RFC 9110, section 10.2.3]."""
    asked = str(headers.get("retry-after", "")).strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", asked):
        return float(asked)
    if asked and (date := _date(asked)) is not None:
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    return None


def _date(asked: str) -> datetime | None:
    """An HTTP date [RFC 9110, section 5.6.7]; None where it is none."""
    try:
        found = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
