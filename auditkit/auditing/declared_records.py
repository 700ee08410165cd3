"""Records of the declared data by the names that reports give them: a keyed id, or file and line."""

from __future__ import annotations

from pathlib import PurePosixPath

from auditkit.auditing.places import folder_of
from auditkit.auditing.prepare import read_members
from auditkit.auditing.secret import known_secret
from auditkit.corpus.base import Corpus
from auditkit.corpus.identity import keyed_id
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy


def find_record(policy: Policy, secret: bytes, item: str) -> tuple[Corpus, int]:
    """The record meant, among the members of all datasets: by id (rec-...), or FILE:LINE as the reports give it.

    Raises:
        AuditkitError: no record is that, or several are.
    """
    places: list[tuple[Corpus, int]] = []
    for section in policy.datasets:
        corpus = read_members(section)
        folder = folder_of(section, policy)
        places += [
            (corpus, record.index)
            for record in corpus.records
            if _is_meant(corpus, record.index, item, secret, section.name if folder is None else folder)
        ]
    if not places:
        raise AuditkitError(
            f"no record of the declared datasets is {item!r}",
            "give an id (rec-...) or FILE:LINE as the report shows it",
        )
    if len(places) > 1:
        names = ", ".join(f"{corpus.records[at].file}:{corpus.records[at].line}" for corpus, at in places[:5])
        raise AuditkitError(f"{item!r} is more than one record: {names}", "give its id (rec-...)")
    return places[0]


def _is_meant(corpus: Corpus, index: int, item: str, secret: bytes, folder: str) -> bool:
    """By id; by file and line as the pages give them, or under the folder that SARIF and the summary name."""
    record = corpus.records[index]
    if item.startswith("rec-"):
        return keyed_id(secret, "rec", f"{corpus.dataset}/{record.id}") == item
    file, _, line = item.rpartition(":")
    whole = str(PurePosixPath(folder) / record.file)
    return line == str(record.line) and bool(file) and (whole == file or f"/{record.file}".endswith(f"/{file}"))


def record_id(policy: Policy, item: str) -> str:
    """The keyed id of a record that is given by it already, or as FILE:LINE.

    Raises:
        AuditkitError: FILE:LINE is no record, or several, or the project's secret is not there.
    """
    if item.startswith("rec-"):
        return item
    secret = known_secret(policy)
    corpus, index = find_record(policy, secret, item)
    return keyed_id(secret, "rec", f"{corpus.dataset}/{corpus.records[index].id}")
