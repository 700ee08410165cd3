"""Ray as the engine starts it itself: for its owner alone, without the driver's keys, and gone afterwards."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from auditkit.engines.ray_engine import RayEngine

from .works import Seeing

pytestmark = pytest.mark.slow


def test_it_is_its_owners_and_knows_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("AUDIT_KEY", "private")
    monkeypatch.setenv("AUDIT_OTHER", "public")
    before = _folders()
    with RayEngine(kind="ray", address="local").running(["AUDIT_KEY"]) as cluster:
        assert cluster is not None
        [made] = _folders() - before
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        seen = dict(cluster.map("score", Seeing(), ["AUDIT_KEY", "AUDIT_OTHER"]))
    assert seen == {0: None, 1: "public"}
    assert os.environ["AUDIT_KEY"] == "private"
    assert _folders() == before


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("auditkit-ray-*"))
