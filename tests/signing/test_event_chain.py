"""The event chain: no line changes, goes or moves unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.signing.event_chain import CLOSED, GENESIS, check_chain, line_digest
from tests.signing.sample_run import event_lines

LINES = event_lines("started", "sampled", "scored", "judged", CLOSED)


def problems(tmp_path: Path, lines: list[bytes]) -> list[str]:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(lines))
    return check_chain(path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


def test_a_whole_chain_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, LINES) == []


def test_a_line_is_digested_without_its_newline() -> None:
    assert (
        line_digest(b"abc\n")
        == line_digest(b"abc")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert GENESIS == "0" * 64


@pytest.mark.parametrize("number", range(1, len(LINES)))
def test_an_edited_line_is_named(tmp_path: Path, number: int) -> None:
    """The line after it tells."""
    lines = [*LINES]
    lines[number - 1] = lines[number - 1].replace(b'"event": "', b'"event": "x')
    (found,) = problems(tmp_path, lines)
    assert f"line {number + 1} " in found
    assert f"line {number}:" in found


@pytest.mark.parametrize("number", range(1, len(LINES) + 1))
def test_a_removed_line_is_named(tmp_path: Path, number: int) -> None:
    (found, *_) = problems(tmp_path, [line for n, line in enumerate(LINES, 1) if n != number])
    assert f"line {min(number, len(LINES) - 1)} " in found


@given(order=st.permutations(range(len(LINES))).filter(lambda order: order != sorted(order)))
@settings(max_examples=50, deadline=None)
def test_reordered_lines_are_found(folder: Path, order: list[int]) -> None:
    assert problems(folder, [LINES[place] for place in order])


@given(cut=st.integers(0, sum(map(len, LINES)) - 1))
@settings(max_examples=100, deadline=None)
def test_a_truncated_log_is_found(folder: Path, cut: int) -> None:
    assert problems(folder, [b"".join(LINES)[:cut]])


@given(place=st.integers(0, sum(map(len, LINES[:-1])) - 1), mask=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_any_changed_byte_before_the_last_line_is_found(folder: Path, place: int, mask: int) -> None:
    content = bytearray(b"".join(LINES))
    content[place] ^= mask
    assert problems(folder, [bytes(content)])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json\n", "strict JSON"),
        (b'{"event": "a", "event": "b", "prev": ""}\n', "strict JSON"),
        (b"[" * 100_000 + b"\n", "strict JSON"),
        (b"\xff\n", "strict JSON"),
        (b"[]\n", "not an event"),
        (b'{"event": "a"}\n', "not an event"),
        (b'{"event": 1, "prev": "x"}\n', "not an event"),
        (b'{"x": "' + b"y" * (2 << 20) + b'"}\n', "longer than"),
    ],
)
def test_hostile_lines_are_named_without_their_text(tmp_path: Path, line: bytes, reason: str) -> None:
    found = problems(tmp_path, [LINES[0], line])
    assert any("line 2 " in problem and reason in problem for problem in found)
    assert all(len(problem) < 300 for problem in found)


def test_a_log_that_was_not_closed_is_found(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, LINES[:-1])
    assert "without a 'closed' event" in found
    assert problems(tmp_path, [])


def test_two_chains_one_after_the_other_are_found(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, [*LINES, *LINES])
    assert f"line {len(LINES) + 1} claims to be the log's beginning" in found
