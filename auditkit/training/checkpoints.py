"""Checkpoints of a training that may be interrupted: it goes on from the last whole one, to the same weights."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.files import FILE_MODE, FOLDER_MODE, make_folder, write_bytes
from auditkit.training.rows import Row

WHOLE, BEGUN = "whole", "begun-with.sha256"


@dataclass(frozen=True)
class Checkpoints:
    """Where a training keeps its state, and after how many steps each time (0: a twentieth of them, 25 at least)."""

    folder: Path
    every: int = 0

    def interval(self, steps: int) -> int:
        """Steps between two checkpoints of a training of this many."""
        return self.every or max(25, steps // 20)

    def claim(self, fingerprint: str) -> None:
        """Make the folder this training's own: what another one left there goes."""
        begun = self.folder / BEGUN
        if not begun.is_file() or begun.read_text() != fingerprint:
            shutil.rmtree(self.folder, ignore_errors=True)
            make_folder(self.folder)
            write_bytes(begun, fingerprint.encode())

    def last(self) -> Path | None:
        """The newest checkpoint that was written to its end; one that was not is thrown away."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        for path in found:
            if not (path / WHOLE).is_file():
                shutil.rmtree(path)
        return next((path for path in reversed(found) if path.is_dir()), None)

    def finish(self, step: int) -> None:
        """Say that the checkpoint of this step is whole; its files are its owner's alone."""
        folder = self.folder / f"checkpoint-{step}"
        for path in [*folder.rglob("*"), folder]:
            path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        write_bytes(folder / WHOLE, b"")


def finishing(transformers: Any, checkpoints: Checkpoints) -> Any:
    """A callback that marks the checkpoints of transformers' Trainer as whole when they are."""

    def on_save(_self: Any, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        checkpoints.finish(state.global_step)

    return type("Finishing", (transformers.TrainerCallback,), {"on_save": on_save})()


def fingerprint(rows: Sequence[Row], *settings: object) -> str:
    """A digest of what a training reads and how: another one must not go on from its checkpoints."""
    digest = hashlib.sha256(repr(settings).encode())
    for row in rows:
        digest.update(repr((row.ids, row.silent, sorted(row.dropped))).encode())
    return digest.hexdigest()
