"""Records of the declared data by the names that reports give them: a keyed id, or file and line."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from auditkit.auditing.places import folder_of
from auditkit.auditing.prepare import read_members
from auditkit.auditing.secret import known_secret, secret_if_known
from auditkit.corpus.base import Corpus
from auditkit.corpus.identity import keyed_id
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy
from auditkit.policy.suggestions import nearest
from auditkit.report.waivers import RECORD_ID

RECORD = re.compile(RECORD_ID)


def find_record(policy: Policy, secret: bytes, item: str) -> tuple[Corpus, int]:
    """The record meant, among the members of all datasets: by id (rec-...), or FILE:LINE as the reports give it.

    Raises:
        AuditkitError: no record is that, or several are.
    """
    places: list[tuple[Corpus, int]] = []
    near: list[str] = []
    for section in policy.datasets:
        corpus = read_members(section)
        folder = folder_of(section, policy)
        places += [
            (corpus, record.index)
            for record in corpus.records
            if _is_meant(corpus, record.index, item, secret, section.name if folder is None else folder)
        ]
        near += [] if places else _nearest(corpus, item, secret)
    if not places:
        raise AuditkitError(
            f"no record of the declared datasets is {item!r}",
            f"did you mean {near[0]}?" if near else "give an id (rec-...) or FILE:LINE as the report shows it",
        )
    if len(places) > 1:
        names = ", ".join(f"{corpus.records[at].file}:{corpus.records[at].line}" for corpus, at in places[:5])
        raise AuditkitError(f"{item!r} is more than one record: {names}", "give its id (rec-...)")
    return places[0]


def _nearest(corpus: Corpus, item: str, secret: bytes) -> list[str]:
    """An id that was copied with a slip, or the file of nearly this name; empty where nothing is like it."""
    if item.startswith("rec-"):
        ids = (keyed_id(secret, "rec", f"{corpus.dataset}/{record.id}") for record in corpus.records)
        return [one for one in ids if nearly_same_id(one, item)][:1]
    file, _, line = item.rpartition(":")
    found = nearest(PurePosixPath(file).name, {PurePosixPath(record.file).name for record in corpus.records})
    return [f"{found}:{line}"] if found and found != PurePosixPath(file).name else []


def nearly_same_id(one: str, other: str) -> bool:
    """Whether two ids of one length differ in at most two characters."""
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) <= 2


def _is_meant(corpus: Corpus, index: int, item: str, secret: bytes, folder: str) -> bool:
    """By id; by file and line as the pages give them, or under the folder that SARIF and the summary name."""
    record = corpus.records[index]
    if item.startswith("rec-"):
        return keyed_id(secret, "rec", f"{corpus.dataset}/{record.id}") == item
    return is_place(item, record.file, record.line, folder)


def is_place(item: str, file: str, line: int, folder: str) -> bool:
    """Whether FILE:LINE means this line of a file, named with or without its folder."""
    named, _, at = item.rpartition(":")
    whole = str(PurePosixPath(folder) / file)
    return at == str(line) and bool(named) and (whole == named or f"/{file}".endswith(f"/{named}"))


def record_id(policy: Policy, item: str) -> str:
    """The keyed id of a record that is given by it already, or as FILE:LINE.

    An id is held against the data where the project's secret is there; who waives need not have it.

    Raises:
        AuditkitError: no record is that, or several are; FILE:LINE, and the project's secret is not there.
    """
    if item.startswith("rec-") and (secret_if_known(policy) is None or not RECORD.fullmatch(item)):
        return item  # what is no id at all, the waiver refuses
    secret = known_secret(policy)
    corpus, index = find_record(policy, secret, item)
    return keyed_id(secret, "rec", f"{corpus.dataset}/{corpus.records[index].id}")
