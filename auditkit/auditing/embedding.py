"""The policy's embedder as a run uses it: behind the project's cache, counted, and never on data that must stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from auditkit.auditing.context import Context
from auditkit.auditing.embed_elsewhere import FarEmbedding
from auditkit.auditing.events import EventLog
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import Progress
from auditkit.engines.base import Cluster
from auditkit.errors import AuditkitError, RunError
from auditkit.files import make_folder, storage_errors, write_bytes
from auditkit.policy.schema import Policy
from auditkit.report.base import EmbeddingInfo
from auditkit.scoring.base import Vectors
from auditkit.scoring.embedders.embedding import EmbeddingCounts, TextEmbedding
from auditkit.scoring.embedders.embedding_cache import CacheUnusableError, EmbeddingCache
from auditkit.scoring.positive_controls import INFORMATIONAL_VARIANTS, MEMBERS, REQUIRED_VARIANTS

CHARACTERS_PER_TOKEN = 4
VARIANTS = (*REQUIRED_VARIANTS, *INFORMATIONAL_VARIANTS)
FOLDER = ".auditkit"
EVENT = "texts_sent"


@contextmanager
def opened_embedding(
    policy: Policy, secret: bytes, log: EventLog, progress: Progress, workers: Cluster | None = None
) -> Iterator[TextEmbedding]:
    """The embedder for one stage of a run. What an external one is sent is in the event log, request by request.

    ``workers`` embed in bulk, where the embedder is none that somebody else's machine runs.

    Raises:
        AuditkitError: texts would leave the machine, and a dataset's policy forbids it.
        RunError: the cache of an embedder that costs money cannot be used.
    """
    refuse_forbidden(policy)
    embedder = policy.scoring.embedder

    def note_request(texts: int, characters: int) -> None:
        log.append(EVENT, to=embedder.kind, texts=texts, characters=characters)

    on_call = note_request if embedder.external else None
    cache = _ForgivingCache(policy, secret, progress) if policy.scoring.cache else None
    try:
        if workers and not embedder.external:
            yield FarEmbedding(embedder, cache, workers)
        else:
            yield TextEmbedding(embedder, cache, on_call)
    finally:
        if cache:
            cache.close()


def refuse_forbidden(policy: Policy) -> None:
    """One forbidden dataset is enough: the generations are sent as well, and they may recite it.

    Raises:
        AuditkitError: texts would leave the machine, and a dataset's policy forbids it.
    """
    if not policy.scoring.embedder.external:
        return
    forbidden = [section.name for section in policy.datasets if section.external_processing != "allow"]
    if forbidden:
        raise AuditkitError(
            f"the embedder {policy.scoring.embedder.kind} sends texts away, which {', '.join(forbidden)} forbids",
            "choose an embedder that runs here (kind: default), or set external_processing: allow",
        )


def embedding_info(context: Context, counts: EmbeddingCounts) -> EmbeddingInfo:
    """What the report says of it: what was sent is counted over every process of the run, from its event log."""
    embedder = context.policy.scoring.embedder
    sent = context.log.recorded(EVENT)
    characters = sum(event["characters"] for event in sent)
    return EmbeddingInfo(
        embedder=embedder.kind,
        texts=counts.texts,
        embedded=counts.embedded,
        cached=counts.cached,
        long=counts.long,
        texts_sent=sum(event["texts"] for event in sent),
        characters_sent=characters,
        estimated_usd=embedder.estimated_cost(characters),
    )


def most_characters(policy: Policy, datasets: Sequence[PreparedDataset]) -> int:
    """Characters to embed at most: every view of the data, their positive controls, and generations of full length.

    What the cache holds already is not taken off.
    """
    found = 0
    for data in datasets:
        for view in data.views:
            texts = data.members.texts(view)
            members = sum(map(len, texts))
            found += members + sum(map(len, data.controls.texts(view)))
            found += len(VARIANTS) * members * min(MEMBERS, len(texts)) // max(1, len(texts))
    views = max((len(data.views) for data in datasets), default=2)
    tokens = sum(attack.samples * attack.max_new_tokens for attack in policy.prefix_attacks)
    return found + views * _readings(datasets) * tokens * CHARACTERS_PER_TOKEN


def _readings(datasets: Sequence[PreparedDataset]) -> int:
    """In how many ways the generations are read: each dataset's trace markers cut them in its own."""
    with_trace = sum(data.trace is not None for data in datasets)
    return max(1, with_trace + (with_trace < len(datasets)))


def cache_folder(policy: Policy) -> Path:
    """Where the project keeps its embeddings: beside the policy, like the project's secret."""
    return policy.source.file.parent / FOLDER / "embeddings"


class _ForgivingCache:
    """A cache that the audit can do without, unless the vectors cost money: then a run that is killed pays twice."""

    def __init__(self, policy: Policy, secret: bytes, progress: Progress) -> None:
        self._costs = policy.scoring.embedder.external
        self._progress = progress
        self._cache: EmbeddingCache | None = None
        try:
            folder = _ignored_by_git(cache_folder(policy))
            self._cache = EmbeddingCache.in_folder(folder, secret, policy.scoring.embedder.digest, progress.note)
        except CacheUnusableError as error:
            self._go_on_without(error)

    def key(self, text: str) -> bytes:
        return self._cache.key(text) if self._cache else b""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        try:
            return self._cache.get(keys) if self._cache else {}
        except CacheUnusableError as error:
            self._go_on_without(error)
            return {}

    def put(self, keys: Sequence[bytes], rows: Vectors) -> None:
        try:
            if self._cache:
                self._cache.put(keys, rows)
        except CacheUnusableError as error:
            self._go_on_without(error)

    def close(self) -> None:
        if self._cache:
            self._cache.close()

    def _go_on_without(self, error: CacheUnusableError) -> None:
        """Said once. Where going on could cost money, the run stops instead.

        Raises:
            RunError: the embedder is an external one.
        """
        self.close()
        self._cache = None
        if self._costs:
            hint = "mend it, move it away, or set scoring.cache: false and pay again for what is interrupted"
            raise RunError(error.message, hint) from error
        self._progress.note(f"warning: {error.message}; the audit goes on without it")


def _ignored_by_git(folder: Path) -> Path:
    """The folder, its owner's alone, in one that no repository takes in.

    Raises:
        CacheUnusableError: it cannot be made.
    """
    ignore = folder.parent / ".gitignore"
    try:
        make_folder(folder.parent)
        make_folder(folder)
        with storage_errors(ignore):
            if not ignore.exists():
                write_bytes(ignore, b"*\n")
    except RunError as error:
        raise CacheUnusableError(f"the embedding cache {folder} cannot be made: {error.message}") from error
    return folder
