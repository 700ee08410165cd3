"""Tags of records: read from any shape, bounded, and no part of what a record is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditkit.corpus.fields import FieldMap
from auditkit.corpus.merkle import corpus_root
from auditkit.corpus.tags import LONGEST_TAG, MOST_TAGS
from auditkit.errors import DataError
from tests.corpus.helpers import QA, read, read_rows, write

TAGGED = replace(QA, tags="t")


def row(tags: Any) -> dict[str, Any]:
    return {"q": "a?", "a": "b", "t": tags}


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("billing", ("billing",)),
        (["billing", " EU ", "billing"], ("billing", "EU")),
        (["cafe\u0301"], ("café",)),
        (None, ()),
        ("", ()),
        ([], ()),
    ],
)
def test_a_text_or_a_list_of_texts(tmp_path: Path, given: Any, read_as: tuple[str, ...]) -> None:
    assert read_rows(tmp_path, [row(given)], TAGGED).records[0].tags == read_as


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (7, "field 't' is a number, not text"),
        ([["a"]], "field 't' is a list, not text"),
        ({"a": 1}, "field 't' is an object, not text"),
        (["a", ""], "empty field 't'"),
        (["a"] * (MOST_TAGS + 1), f"more than {MOST_TAGS} tags in field 't'"),
        ("x" * (LONGEST_TAG + 1), f"a tag of more than {LONGEST_TAG} characters"),
        ("a\x1b[31m", "control or invisible characters in a tag"),
        ("a\u202eb", "control or invisible characters in a tag"),
        ("a\nb", "control or invisible characters in a tag"),
        ("\ud800", "lone surrogate in field 't'"),
    ],
)
def test_what_no_page_could_print_is_a_bad_line(tmp_path: Path, given: Any, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path, [row("fine"), row(given)], TAGGED)
    assert caught.value.problems[0].line == 2
    assert reason in caught.value.problems[0].message
    assert len(read_rows(tmp_path, [row("fine"), row(given)], TAGGED, max_bad_share=0.5).records) == 1


def test_a_declared_field_that_is_not_there_is_a_bad_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing field 'tag'"):
        read_rows(tmp_path, [row("x")], replace(QA, tags="tag"))


def test_every_shape_may_be_tagged(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    chat = read_rows(
        tmp_path, [{"messages": turns, "meta": {"tags": ["x"]}}], FieldMap(messages="messages", tags="meta.tags")
    )
    assert chat.records[0].tags == ("x",)
    pair = {"prompt": "a", "chosen": "b", "rejected": "c", "t": "y"}
    dpo = FieldMap(prompt="prompt", chosen="chosen", rejected="rejected", tags="t")
    assert read_rows(tmp_path, [pair], dpo).records[0].tags == ("y",)


def test_parquet_reads_the_same(tmp_path: Path) -> None:
    rows = [row(["billing", "EU"]), row(None), row([])]
    corpus = read(write(tmp_path / "d.parquet", rows), TAGGED)
    assert [record.tags for record in corpus.records] == [("billing", "EU"), (), ()]


def test_tags_change_neither_ids_nor_the_merkle_root(tmp_path: Path) -> None:
    tagged, plain = read_rows(tmp_path, [row("x")], TAGGED), read_rows(tmp_path, [row("x")], QA)
    assert [record.id for record in tagged.records] == [record.id for record in plain.records]
    assert corpus_root(tagged, b"secret") == corpus_root(plain, b"secret")
