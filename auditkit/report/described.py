"""What was audited, by whom and by what: run, policy, data, attacks, signature."""

from __future__ import annotations

from typing import Any

from auditkit.records import View
from auditkit.report.part import Part


class EmbeddingInfo(Part):
    """What it took to embed the texts in the run's last process; what was sent away, in all of its processes.

    Each distinct text of a batch counts once. ``long``: probably not read to their end by the embedder.
    """

    embedder: str
    texts: int  # empty and repeated ones included
    embedded: int
    cached: int  # known from an earlier audit, or from an earlier process of this one
    long: int
    texts_sent: int = 0
    characters_sent: int = 0
    estimated_usd: float = 0.0  # of what was sent and answered, at the policy's price


class RunInfo(Part):
    """When and by what; the only part in which a resumed run may differ from an undisturbed one."""

    id: str
    started: str
    finished: str
    resumed: int
    auditkit_version: str
    stage_seconds: dict[str, float] = {}
    peak_memory_bytes: dict[str, int] = {}
    embedding: EmbeddingInfo | None = None
    blind: str = ""  # random: without it, a digest of this file would confirm a guess at the texts in it


class PolicyInfo(Part):
    name: str
    sha256: str
    preset: str | None = None
    weaker_than_preset: list[str] = []  # sentences for page one
    text: str = ""  # the locked policy, secrets never in it
    file: str = ""  # seen from the repository's root, or from the policy's folder where there is none


class DatasetInfo(Part):
    name: str
    stage: str
    records: int
    controls: int
    calibration_controls: int
    evaluation_controls: int
    duplicates: int
    clusters: int
    bad_lines: int
    merkle_root: str
    licence: str
    owner: str
    classification: str
    external_processing: str
    views: list[View]
    folder: str | None = None  # what the files of findings are relative to, seen as PolicyInfo.file; None: outside


class PrefixInfo(Part):
    name: str
    text: str
    token_ids: list[int]
    sha256: str
    note: str = ""


class AttackInfo(Part):
    """One attack as run: its declared parameters, the literal prefixes, and how the generations ended."""

    name: str
    kind: str
    parameters: dict[str, Any]
    prefixes: list[PrefixInfo]
    generations: int
    finished: dict[str, int]  # finish reason -> generations
    turn_changes: dict[str, int]  # by the model, appended by the attack, none
    tokens: int


class ReleaseInfo(Part):
    organisation: str
    auditor: str
    access: str
    arm: str


class SignatureInfo(Part):
    """What the pages say of the signature; the signature itself is in files of its own."""

    signed: bool
    label: str = ""  # "DEMO" where the keys were made for a demonstration
    key_id: str = ""
    certificate_subject: str = ""
    timestamp_host: str = ""  # of the authority that time-stamps the PDF signatures; "" where none is asked


class Migration(Part):
    """Where a report was written by an auditkit of an earlier schema version: which, and what it did not record."""

    from_version: str
    not_recorded: list[str] = []  # in words
