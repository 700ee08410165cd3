"""The cache gives back what was put in, to the bit, or nothing; it tells nothing of texts and survives its disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.scoring.base import Vectors
from auditkit.scoring.embedders import embedding_cache
from auditkit.scoring.embedders.embedding_cache import CacheUnusableError, EmbeddingCache

SECRET = b"a secret of the project, 32 bytes"


def vectors(count: int, width: int = 8, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def opened(folder: Path, secret: bytes = SECRET, digest: str = "an embedder") -> EmbeddingCache:
    return EmbeddingCache.in_folder(folder, secret, digest)


def filled(folder: Path, count: int = 3) -> tuple[EmbeddingCache, list[bytes], Vectors]:
    cache, rows = opened(folder), vectors(count)
    keys = [cache.key(f"text {i}") for i in range(count)]
    cache.put(keys, rows)
    return cache, keys, rows


def test_gives_back_what_was_put_in(tmp_path: Path) -> None:
    cache, keys, rows = filled(tmp_path, 10_000)
    cache.close()
    again = opened(tmp_path)
    found = again.get([*keys, again.key("never seen")])
    assert set(found) == set(keys)
    np.testing.assert_array_equal([found[key] for key in keys], rows)


@given(texts=st.lists(st.text(st.characters(exclude_categories=())), unique=True, max_size=20))
@settings(max_examples=50)
def test_every_text_has_a_key_of_its_own(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    cache = opened(tmp_path_factory.mktemp("cache"))
    keys = [cache.key(text) for text in texts]
    assert len(set(keys)) == len(texts)
    cache.put(keys, vectors(len(texts)))
    assert set(cache.get(keys)) == set(keys)
    cache.close()


def test_the_file_is_its_owners_and_holds_no_text(tmp_path: Path) -> None:
    cache, keys, _ = filled(tmp_path / "deep" / "er")
    assert cache.path.stat().st_mode & 0o777 == 0o600
    assert cache.path.parent.stat().st_mode & 0o777 == 0o700
    assert b"text 0" not in cache.path.read_bytes()
    assert [path.name for path in cache.path.parent.iterdir()] == [cache.path.name]
    other = opened(tmp_path, secret=b"another secret")
    assert other.key("text 0") not in keys


def test_another_secret_or_embedder_finds_nothing(tmp_path: Path) -> None:
    cache, keys, _ = filled(tmp_path)
    for other in (opened(tmp_path, secret=b"another"), opened(tmp_path, digest="another")):
        assert other.get([*keys, other.key("text 0")]) == {}
    assert opened(tmp_path, digest="another").path != cache.path


def test_a_changed_vector_counts_as_absent(tmp_path: Path) -> None:
    cache, keys, rows = filled(tmp_path)
    with sqlite3.connect(cache.path) as database:
        blob = bytearray(*database.execute("SELECT vector FROM vectors WHERE key = ?", [keys[1]]).fetchone())
        blob[5] ^= 1
        database.execute("UPDATE vectors SET vector = ? WHERE key = ?", [bytes(blob), keys[1]])
        database.execute("UPDATE vectors SET vector = x'00' WHERE key = ?", [keys[2]])
    assert set(cache.get(keys)) == {keys[0]}
    cache.put(keys[1:], rows[1:])
    assert set(cache.get(keys)) == set(keys)


def test_a_vector_cannot_be_moved_to_another_text(tmp_path: Path) -> None:
    cache, keys, _ = filled(tmp_path)
    with sqlite3.connect(cache.path) as database:
        (blob,) = database.execute("SELECT vector FROM vectors WHERE key = ?", [keys[1]]).fetchone()
        database.execute("UPDATE vectors SET vector = ? WHERE key = ?", [blob, keys[0]])
    assert keys[0] not in cache.get(keys)


def test_what_was_put_is_there_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, sys, signal; from pathlib import Path; import numpy as np\n"
        "from auditkit.scoring.embedders.embedding_cache import EmbeddingCache\n"
        f"cache = EmbeddingCache.in_folder(Path(sys.argv[1]), {SECRET!r}, 'an embedder')\n"
        "cache.put([cache.key('kept')], np.ones((1, 4), np.float32))\n"
        "cache._database.execute('BEGIN IMMEDIATE')\n"
        "cache._database.execute('INSERT INTO vectors VALUES (?, ?)', [cache.key('torn'), b'x' * 5000])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    cache = opened(tmp_path)
    assert set(cache.get([cache.key("kept"), cache.key("torn")])) == {cache.key("kept")}


def test_several_audits_share_a_file(tmp_path: Path) -> None:
    rows = vectors(200)
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            cache = opened(tmp_path)
            for start in range(0, 200, 10):
                keys = [cache.key(str(i)) for i in range(start, start + 10)]
                cache.put(keys, rows[start : start + 10])
                assert len(cache.get(keys)) == 10
            cache.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    cache = opened(tmp_path)
    keys = [cache.key(str(i)) for i in range(200)]
    found = cache.get(keys)
    np.testing.assert_array_equal([found[key] for key in keys], rows)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to look like one" * 100, None])
def test_a_malformed_file_is_moved_aside_and_another_begun(tmp_path: Path, content: bytes | None) -> None:
    """What was paid for stays in the file that was moved, for whoever can mend it."""
    cache, keys, rows = filled(tmp_path, 2000)
    cache.close()
    whole = cache.path.read_bytes()
    damaged = content or whole[:8192] + b"\xff" * (len(whole) - 8192)
    cache.path.write_bytes(damaged)
    notes: list[str] = []
    again = EmbeddingCache.in_folder(tmp_path, SECRET, "an embedder", notes.append)
    assert again.get(keys) == {}
    again.put(keys, rows)
    assert set(again.get(keys)) == set(keys)
    again.close()
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == damaged
    assert aside.stat().st_mode & 0o777 == 0o600
    assert len(notes) == 1
    assert aside.name in notes[0]
    assert set(opened(tmp_path).get(keys)) == set(keys)


def test_the_journal_of_a_malformed_file_is_not_played_back_into_the_new_one(tmp_path: Path) -> None:
    cache, keys, rows = filled(tmp_path)
    cache.close()
    cache.path.write_bytes(b"no database " * 1000)
    journal = cache.path.with_name(f"{cache.path.name}-journal")
    journal.write_bytes(b"half a journal")
    again = opened(tmp_path)
    again.put(keys, rows)
    assert set(again.get(keys)) == set(keys)
    assert not journal.exists()


def test_a_file_that_another_audit_moved_is_not_moved_again(tmp_path: Path) -> None:
    cache, keys, rows = filled(tmp_path, 2000)
    cache.close()
    cache.path.write_bytes(cache.path.read_bytes()[:8192] + b"\xff" * 300_000)
    one, other = opened(tmp_path), opened(tmp_path)
    one.put(keys, rows)
    assert set(other.get(keys)) == set(keys)
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    cache, _, _ = filled(tmp_path)
    cache.close()
    elsewhere = tmp_path / "elsewhere"
    cache.path.rename(elsewhere)
    elsewhere.chmod(0o644)
    cache.path.symlink_to(elsewhere)
    with pytest.raises(CacheUnusableError, match=str(cache.path)):
        opened(tmp_path)
    assert elsewhere.stat().st_mode & 0o777 == 0o644


def test_a_file_of_another_version_is_not_touched(tmp_path: Path) -> None:
    cache, _, _ = filled(tmp_path)
    with sqlite3.connect(cache.path) as database:
        database.execute("PRAGMA user_version = 99")
    before = cache.path.read_bytes()
    with pytest.raises(CacheUnusableError, match="another version"):
        opened(tmp_path)
    assert cache.path.read_bytes() == before


def test_a_held_file_is_named_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_cache, "BUSY_SECONDS", 0.05)
    cache, keys, rows = filled(tmp_path)
    holder = sqlite3.connect(cache.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CacheUnusableError, match="locked"):
        opened(tmp_path)
    holder.execute("ROLLBACK")
    held = opened(tmp_path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CacheUnusableError, match="locked"):
        held.put(keys, rows)
    holder.close()
    held.put(keys, rows)


def test_a_full_disk_is_named_and_nothing_half_is_kept(tmp_path: Path) -> None:
    cache, keys, _ = filled(tmp_path)
    pages = cache._database.execute("PRAGMA page_count").fetchone()[0]
    cache._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    more = [cache.key(f"more {i}") for i in range(1000)]
    with pytest.raises(CacheUnusableError, match="full"):
        cache.put(more, vectors(1000, 64))
    assert set(cache.get([*keys, *more])) == set(keys)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CacheUnusableError, match="cannot be used"):
        opened(tmp_path / "file" / "embeddings")
