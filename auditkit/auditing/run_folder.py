"""The folder of one run: names, permissions, the lock that keeps two processes apart."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from auditkit.errors import AuditkitError, RunError
from auditkit.files import FOLDER_MODE, make_folder, storage_errors, write_bytes

PATIENCE_SECONDS = 0.5  # whoever asks for a run's status holds it for a moment


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps everything. ``work`` is scratch: it makes resuming cheap and is gone before signing.

    A mitigation's arm has evidence and scratch of its own below the run's; "" is the baseline. So has every checkpoint
    of a chain: ``kin`` says which of the two ``arm`` names.
    """

    path: Path
    arm: str = ""
    kin: Literal["arms", "checkpoints"] = "arms"

    @property
    def id(self) -> str:
        """The run's id is its folder's name."""
        return self.path.name

    @property
    def evidence(self) -> Path:
        """Generations, matches, likelihoods: the data's texts stand here."""
        return self.path / "evidence" / self._below

    @property
    def work(self) -> Path:
        """Scratch files of unfinished stages."""
        return self.shared_work / self._below

    @property
    def shared_work(self) -> Path:
        """Scratch files that every arm reads: what is known of the data."""
        return self.path / "work"

    @property
    def _below(self) -> str:
        return f"{self.kin}/{self.arm}" if self.arm else ""

    def of_arm(self, name: str) -> RunFolder:
        """The same run as the arm of this name sees it."""
        return replace(self, arm=name)

    def of_checkpoint(self, name: str) -> RunFolder:
        """The same run as a checkpoint before the candidate sees it."""
        return replace(self, arm=name, kin="checkpoints")

    @property
    def weights(self) -> Path:
        """The arm's own weights and filters: owner-only, and nothing that ships."""
        return self.path / "weights" / (self.arm or "baseline")

    @property
    def events(self) -> Path:
        """What happened, chained line by line."""
        return self.path / "events.jsonl"

    @property
    def lock_file(self) -> Path:
        """The policy as it was run."""
        return self.path / "policy.lock.yaml"

    @property
    def audit_file(self) -> Path:
        """The result as data."""
        return self.path / "audit.json"

    @property
    def attestation(self) -> Path:
        """The signed statement over every other file."""
        return self.path / "attestation.dsse.json"

    @property
    def status_file(self) -> Path:
        """How far the run is, for whoever asks: among the scratch files, so that it is gone before signing."""
        return self.shared_work / "status.json"

    @property
    def finished(self) -> bool:
        """The attestation is the last thing that a run writes."""
        return self.attestation.exists()

    @property
    def redacted_audit_file(self) -> Path:
        """The result as data without a word of the data: it outlives a purge."""
        return self.path / "audit.redacted.json"

    @property
    def purge_file(self) -> Path:
        """The signed statement of what a purge erased."""
        return self.path / "purge.dsse.json"

    @property
    def purged(self) -> bool:
        """Whether a purge was begun: the texts are gone, or are to go."""
        return self.purge_file.exists()

    def generations_file(self, attack: str) -> Path:
        """The generations of an attack."""
        return self.evidence / f"generations-{attack}.parquet"

    def matches_file(self, attack: str, dataset: str, view: str) -> Path:
        """The best matches of an attack's generations in one view of one dataset."""
        # No name can hold a "+": else attack "t-x" on "y" and attack "t" on "x-y" would share a file.
        return self.evidence / f"matches-{attack}+{dataset}+{view}.parquet"

    def coverage_file(self, attack: str, dataset: str, view: str) -> Path:
        """What an attack reached of one view of one dataset."""
        return self.evidence / f"coverage-{attack}+{dataset}+{view}.npz"

    def thresholds_file(self, attack: str, dataset: str, view: str) -> Path:
        """How many generations reach each threshold, against drawn members and against controls."""
        return self.evidence / f"thresholds-{attack}+{dataset}+{view}.npz"

    def removals_file(self, dataset: str) -> Path:
        """The records of a dataset to remove, in the order of risk taken away per record."""
        return self.evidence / f"removals-{dataset}.csv"

    def stages_file(self, dataset: str) -> Path:
        """The stage that each leaked record of a dataset was learnt in, and what it rose by in each."""
        return self.evidence / f"stages-{dataset}.csv"

    def prefixes_file(self) -> Path:
        """The prefixes and turns that both models of a pair are read with."""
        return self.evidence / "prefixes.json"

    def likelihoods_file(self, reading: str, prefix: str, dataset: str, split: str) -> Path:
        """What one model says of every record of one side under one prefix."""
        return self.evidence / f"likelihoods-{reading}+{prefix}+{dataset}+{split}.parquet"

    def observation_file(self, probe: str, dataset: str) -> Path:
        """What a probe found that needed the model itself."""
        return self.evidence / f"observation-{probe}+{dataset}.json"

    def utility_file(self) -> Path:
        """What an arm's utility was measured to be."""
        return self.evidence / "utility.json"

    def worth_file(self, what: str) -> Path:
        """What is trained to value the leak, or what one training scored; no text stands there."""
        return self.evidence / f"worth-{what}.json"

    def record_scores_file(self, probe: str, dataset: str) -> Path:
        """The scores that a probe gave each record of one dataset and its controls."""
        return self.evidence / f"scores-{probe}+{dataset}.parquet"

    def drop_work(self) -> None:
        """Remove the scratch files."""
        with storage_errors(self.work):
            shutil.rmtree(self.shared_work, ignore_errors=True)

    def drop_empty_folders(self) -> None:
        """Remove folders with nothing in them (an arm that saves no weights): the attestation could not name them."""
        for folder in sorted((path for path in self.path.rglob("*") if path.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def drop_part_files(self) -> None:
        """Remove what a killed process left under temporary names."""
        for leftover in self.path.rglob(".*.part"):
            leftover.unlink(missing_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
            RunError: another process is working on it.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if not _locked(descriptor, fcntl.LOCK_EX, PATIENCE_SECONDS):
                raise RunError(f"{self.path} is being worked on by another process", "wait for it to end") from None
            yield
        finally:
            os.close(descriptor)

    @property
    def held(self) -> bool:
        """Whether a process is working on it: the lock goes with the process, whatever ended that.

        Seen from another host, this is true only where the file system passes locks on.
        """
        with storage_errors(self.path):
            descriptor = os.open(self.path, os.O_RDONLY)
        try:
            return not _locked(descriptor, fcntl.LOCK_SH, 0.0)
        finally:
            os.close(descriptor)


def _locked(descriptor: int, lock: int, patience: float) -> bool:
    """Whether the lock could be had within ``patience`` seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def create(parent: Path, name: str, files: dict[str, bytes]) -> RunFolder:
    """A new run folder that appears under its name only when ``files`` (relative name -> content) stand in it."""
    make_folder(parent)
    run_id = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    hidden = RunFolder(parent / f".{run_id}.part")
    for folder in (hidden.path, hidden.evidence, hidden.work):
        make_folder(folder)
    try:
        for relative, content in files.items():
            write_bytes(hidden.path / relative, content)
        with storage_errors(parent):
            hidden.path.chmod(FOLDER_MODE)
            hidden.path.rename(parent / run_id)
    except BaseException:
        shutil.rmtree(hidden.path, ignore_errors=True)
        raise
    return RunFolder(parent / run_id)


def _what_would_be(folder: RunFolder) -> str:
    """A hint; to who has a result and nothing else, what belongs to it."""
    if folder.audit_file.is_file() or folder.path.is_file():
        return (
            f"a result alone is no run: it takes {folder.lock_file.name} and {folder.attestation.name} beside it; "
            "ask whoever made it for these, or for the whole folder"
        )
    return "give the folder that `auditkit run` named"


def existing(path: Path) -> RunFolder:
    """An existing run folder.

    Raises:
        AuditkitError: there is no run at this path.
    """
    folder = RunFolder(path.resolve())
    if not folder.lock_file.is_file():
        raise AuditkitError(f"{path} is not a run folder", _what_would_be(folder))
    return folder
