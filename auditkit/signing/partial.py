"""A copy of a run without the files that hold texts: what is not in it, and whether that is all that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from auditkit.signing.attestation import Attestation
from auditkit.signing.base import ATTESTATION, AUDIT_REDACTED, PURGE
from auditkit.signing.files import Listing, visible
from auditkit.signing.purge import is_purgeable

MOST_NAMES = 8  # of one kind, in one line
REDACTED = ".redacted."  # in the name of every redacted file
_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("evidence", lambda name: name.startswith("evidence/")),
    ("weights of mitigated models", lambda name: name.startswith("weights/")),
    ("the result and reports with texts", is_purgeable),
    ("redacted files", lambda name: REDACTED in name),
    ("other files", lambda _: True),
)


@dataclass(frozen=True)
class PartialCopy:
    """``absent``: the attested files that are not there, where the folder is a partial copy; else empty.

    ``attested`` counts all files that the attestation names, itself left out.
    """

    absent: tuple[str, ...] = ()
    attested: int = 0

    @property
    def count(self) -> str:
        """How much is not there."""
        are = "is" if len(self.absent) == 1 else "are"
        return f"{len(self.absent)} of the {self.attested} attested files {are} not here"

    @property
    def kinds(self) -> str:
        """What is not there, by kind, in one line."""
        return "; ".join(_by_kind(self.absent))

    def lacking(self) -> tuple[str, ...]:
        """The redacted files that are not there: without them there is nothing to read."""
        return tuple(name for name in self.absent if REDACTED in name)


def find(listing: Listing, found: Attestation, purged: frozenset[str], *, accepted: bool) -> PartialCopy:
    """What is not there, where the folder is a partial copy.

    It is one where somebody says so (``accepted``), or where every file with texts was left out and every redacted
    one is there. A run from which single files are missing is none: those are named one by one.
    """
    names = {subject.name for subject in found.statement.subject}
    absent = tuple(sorted(names - set(listing.files) - purged - {ATTESTATION}))
    copy = PartialCopy(absent, len(names))
    return copy if accepted or _is_one(listing, copy) else PartialCopy()


def _is_one(listing: Listing, copy: PartialCopy) -> bool:
    texts = any(is_purgeable(name) for name in listing.files)
    return AUDIT_REDACTED in listing.files and PURGE not in listing.files and not texts and not copy.lacking()


def notes(copy: PartialCopy) -> Iterator[str]:
    """What is to be read with a partial copy that was accepted as one."""
    if copy.absent:
        yield f"{copy.count}, and nothing is known of them but their digests: {copy.kinds}"


def _by_kind(names: Iterable[str]) -> Iterator[str]:
    left = list(names)
    for kind, is_one in _KINDS:
        found = [name for name in left if is_one(name)]
        left = [name for name in left if not is_one(name)]
        if found:
            yield f"{kind} ({_named(found)})"


def _named(names: list[str]) -> str:
    if all("/" in name for name in names) or len(names) > MOST_NAMES:
        return f"{len(names)} file{'' if len(names) == 1 else 's'}"
    return ", ".join(visible(name) for name in names)
