"""String matches run beside an embedder that waits for the network, and in turn with one that wants the same cores."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from auditkit.auditing.runner import audit
from auditkit.policy.load import load_policy
from auditkit.scoring.strings.best import StringIndex
from tests.auditing.test_embedding import POLICY, project, run_of
from tests.scoring.embedders.gemini_server import KEY, gemini_server


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads that searched."""
    threads: list[str] = []
    best = StringIndex.best

    def noted(self: StringIndex, texts: Sequence[str], *rest: Any) -> Any:
        threads.append(threading.current_thread().name)
        return best(self, texts, *rest)

    monkeypatch.setattr(StringIndex, "best", noted)
    return threads


def matches_of(run: Path) -> list[Any]:
    import pyarrow.parquet as pq

    names = ["levenshtein_record", "levenshtein", "indel_record", "indel"]
    return [pq.read_table(path, columns=names).to_pylist() for path in sorted(run.rglob("matches-*.parquet"))]


def test_beside_an_external_embedder_and_with_the_same_result(
    tmp_path: Path, searched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with gemini_server() as server:
        path = project(tmp_path, server)
        audit(load_policy(path), tmp_path / "beside")
    main = threading.main_thread().name
    during = [name for name in searched if name != main]
    assert len(during) == 2 * 2  # two datasets, two measures
    searched.clear()
    local = POLICY.replace(
        '{kind: gemini, output_dimensionality: 128, batch_size: 20, base_url: "URL"}', "{kind: default}"
    )
    (tmp_path / "policy.yaml").write_text(local)
    audit(load_policy(path), tmp_path / "in-turn")
    assert set(searched) == {main}
    assert matches_of(run_of(tmp_path / "beside")) == matches_of(run_of(tmp_path / "in-turn")) != []
