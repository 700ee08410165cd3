"""Stored graphs: reused for the same data, and never trusted beyond the project's secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from auditkit.scoring.base import IndexStore, Vectors
from auditkit.scoring.vectors import index_store
from auditkit.scoring.vectors.hnsw_graph import Graph, GraphShape
from auditkit.scoring.vectors.index_store import opened_graph
from tests.scoring.vectors.test_index import unit

SHAPE = GraphShape(m=8, ef_construction=40, seed=1)
SECRET = b"a secret of the project"


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / ".auditkit" / "indexes", SECRET)


@pytest.fixture
def vectors() -> Vectors:
    return unit(np.random.default_rng(1), 300, 12)


def opened(vectors: Vectors, store: IndexStore, shape: GraphShape = SHAPE) -> tuple[Graph, bool]:
    """The graph, and whether it had to be built."""
    with patch.object(Graph, "built", side_effect=Graph.built) as built:
        graph = opened_graph(vectors, np.arange(len(vectors)), shape, store)
    return graph, built.called


def test_the_next_audit_of_the_same_data_reuses_it(store: IndexStore, vectors: Vectors) -> None:
    made, built = opened(vectors, store)
    assert built
    again, built = opened(vectors.copy(), store)
    assert not built
    assert len(again) == 300
    np.testing.assert_array_equal(made.neighbours(vectors, 5, 50), again.neighbours(vectors, 5, 50))
    for path in (store.folder, *store.folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_other_vectors_or_parameters_are_another_index(store: IndexStore, vectors: Vectors) -> None:
    opened(vectors, store)
    moved = vectors.copy()
    moved[[0, 1]] = moved[[1, 0]]
    assert opened(moved, store)[1]
    assert opened(vectors[:-1], store)[1]
    assert opened(vectors, store, GraphShape(m=9, ef_construction=40, seed=1))[1]
    assert not opened(vectors, store)[1]


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_changed_byte_is_not_loaded(store: IndexStore, vectors: Vectors, position: int) -> None:
    opened(vectors, store)
    (path,) = store.folder.glob("*.hnsw")
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with patch.object(Graph, "loaded", side_effect=AssertionError("a hostile file reached native code")):
        assert opened(vectors, store)[1]
    assert not opened(vectors, store)[1]  # it was written anew


def test_a_file_from_elsewhere_is_not_loaded(store: IndexStore, vectors: Vectors) -> None:
    """Neither one made under another secret, nor one of ours under another name."""
    opened(vectors, IndexStore(store.folder, b"another secret altogether"))
    assert opened(vectors, store)[1]
    other = unit(np.random.default_rng(2), 300, 12)
    opened(other, store)
    one, two = sorted(store.folder.glob("*.hnsw"))
    for suffix in (".hnsw", ".tag"):
        first, second = one.with_suffix(suffix).read_bytes(), two.with_suffix(suffix).read_bytes()
        one.with_suffix(suffix).write_bytes(second)
        two.with_suffix(suffix).write_bytes(first)
    assert opened(vectors, store)[1]
    assert opened(other, store)[1]


def test_killed_between_the_graph_and_its_tag(store: IndexStore, vectors: Vectors) -> None:
    opened(vectors, store)
    (tag,) = store.folder.glob("*.tag")
    tag.unlink()
    assert opened(vectors, store)[1]
    assert not opened(vectors, store)[1]


def test_only_the_last_used_are_kept(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(unit(np.random.default_rng(9), 30, 4), store)
    (path,) = store.folder.glob("*.hnsw")
    monkeypatch.setattr(index_store, "MOST_BYTES", int(2.5 * path.stat().st_size))
    os.utime(path, (0, 0))
    many = [unit(np.random.default_rng(seed), 30, 4) for seed in range(3)]
    for day, vectors in enumerate([many[0], many[1], many[0], many[2]]):
        opened(vectors, store)
        for path in store.folder.glob("*.hnsw"):  # a day goes by
            os.utime(path, (path.stat().st_atime - 86_400, path.stat().st_mtime - 86_400))
        assert len(list(store.folder.glob("*.*"))) <= 5, day  # two graphs, their tags, and what git is told
    assert not opened(many[0], store)[1]
    assert opened(many[1], store)[1]


def test_what_killed_processes_left_is_cleared_away(store: IndexStore, vectors: Vectors) -> None:
    opened(vectors, store)
    left, being_written = (store.folder / f".{name}.hnsw.1.part" for name in ("left", "being_written"))
    for path in (left, being_written):
        path.write_bytes(b"half a graph")
    os.utime(left, (0, 0))
    opened(vectors[:-1], store)
    assert not left.exists()
    assert being_written.exists()
    assert (store.folder / ".gitignore").read_text() == "*\n"


def test_where_nothing_can_be_stored_the_audit_goes_on(tmp_path: Path, vectors: Vectors) -> None:
    (tmp_path / "file").write_text("no folder")
    graph, built = opened(vectors, IndexStore(tmp_path / "file" / "indexes", SECRET))
    assert built
    assert len(graph) == 300


def test_the_graphs_of_several_datasets_are_kept(store: IndexStore) -> None:
    many = [unit(np.random.default_rng(seed), 30, 4) for seed in range(8)]  # two datasets, two views, two sides
    assert all(opened(vectors, store)[1] for vectors in many)
    assert not any(opened(vectors, store)[1] for vectors in many)


def test_the_last_graph_is_kept_however_large_it_is(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_store, "MOST_BYTES", 1)
    vectors = unit(np.random.default_rng(3), 30, 4)
    opened(vectors, store)
    assert not opened(vectors, store)[1]


@pytest.mark.parametrize("kept", [0, 5000])
def test_a_full_disk_leaves_no_half_graph(store: IndexStore, vectors: Vectors, kept: int) -> None:
    """hnswlib writes without looking whether anything arrives."""
    save = Graph.save

    def cut(self: Graph, path: Path) -> None:
        save(self, path)
        os.truncate(path, kept)

    with patch.object(Graph, "save", cut):
        assert opened(vectors, store)[1]
    assert not list(store.folder.glob("*.hnsw"))
    assert not list(store.folder.glob("*.tag"))
    assert opened(vectors, store)[1]
    assert not opened(vectors, store)[1]


def test_a_graph_that_cannot_be_loaded_is_built_anew(store: IndexStore, vectors: Vectors) -> None:
    """One that an earlier version left: cut short, and tagged all the same."""
    opened(vectors, store)
    (path,) = store.folder.glob("*.hnsw")
    os.truncate(path, path.stat().st_size // 2)
    path.with_suffix(".tag").write_bytes(index_store._tag(path, SECRET))
    assert opened(vectors, store)[1]
    assert not opened(vectors, store)[1]
