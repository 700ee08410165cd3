"""Audits whose index is a graph: the same figures as with exact search, and the graph is there for the next audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from auditkit.auditing import runner
from auditkit.auditing.progress import Silent
from auditkit.errors import RunError
from auditkit.report.base import AuditReport
from auditkit.scoring.base import IndexChoice
from auditkit.scoring.vectors.hnsw_graph import Graph
from auditkit.scoring.vectors.index import AutoIndex
from tests.auditing.test_verdicts import LEAKING, _policy, project, run

__all__ = ["project", "run"]  # fixtures
Run = Callable[..., AuditReport]


def _with_index(kind: str) -> dict[str, Any]:
    scoring = {"semantic_threshold": {"calibrate_fpr": 0.05}, "index": {"kind": kind}}
    return _policy(LEAKING, scoring=scoring)


def test_a_graph_finds_what_exact_search_finds(run: Run, project: Path) -> None:
    exact, graph = run(_with_index("exact")), run(_with_index("hnsw"))
    assert [use.kind for use in exact.index] == ["exact"] * len(exact.index)
    assert "hnsw" in {use.kind for use in graph.index}
    assert all(use.recall_at_1 == 1.0 for use in graph.index)
    assert exact.arms == graph.arms
    assert exact.findings == graph.findings
    assert exact.verdict == graph.verdict


def test_the_next_audit_of_the_same_data_takes_the_stored_graphs(run: Run, project: Path) -> None:
    first = run(_with_index("hnsw"))
    stored = {path: path.read_bytes() for path in (project / ".auditkit" / "indexes").iterdir()}
    assert stored
    with patch.object(Graph, "built", side_effect=AssertionError("built again")):
        again = run(_with_index("hnsw"))
    assert again.index == first.index
    assert {path: path.read_bytes() for path in stored} == stored


def test_a_resumed_run_goes_on_with_the_index_that_was_chosen(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run breaks between two attacks; what a trial would show the second time is not asked."""
    asked: list[int] = []

    def choose(self: AutoIndex, vectors: Any, queries: int) -> IndexChoice:
        asked.append(queries)
        return IndexChoice("exact", "chosen first")

    def broken(*_: Any) -> None:
        raise OSError("gone")

    attacks = [
        {"kind": "template_prefix", "name": name, "samples": 100, "max_new_tokens": 400} for name in ("one", "two")
    ]
    monkeypatch.setattr(AutoIndex, "choose", choose)
    with monkeypatch.context() as patched, pytest.raises(RunError):
        patched.setattr("auditkit.auditing.prepare.StringIndex", broken)  # after the first attack's vectors
        run({**_with_index("auto"), "attacks": attacks})
    assert asked == [200, 200]  # members and evaluation controls of the first view, for both attacks
    (folder,) = (path for path in (project / "out").iterdir() if path.is_dir())
    report = runner.resume(folder, Silent()).report
    assert len(asked) == 2 * len(report.index)
    assert report.index[0].reason != ""
    assert {use.kind for use in report.index} == {"exact"}


def test_without_a_cache_no_vector_outlives_the_run(run: Run, project: Path) -> None:
    """A stored graph holds the vector of every record."""
    policy = _with_index("hnsw")
    policy["scoring"]["cache"] = False
    report = run(policy)
    assert "hnsw" in {use.kind for use in report.index}
    assert not (project / ".auditkit" / "indexes").exists()
