"""The default embedder gives WordLlama's own vectors, whatever the batch, and leaves the program's logging alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from auditkit.scoring.embedders.wordllama_embedder import DefaultEmbedder

TEXTS = [
    "A parcel arrived late.",
    "",
    "The parcel was late when it arrived, and the box was wet.",
    "x",
    "12 + 30 = 42\n#### 42",
]


def test_gives_the_vectors_of_the_library_itself() -> None:
    import wordllama
    from wordllama import WordLlama

    theirs = WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    ours = DefaultEmbedder(kind="default").embed(TEXTS)
    for text, row in zip(TEXTS, ours, strict=True):
        if text:
            np.testing.assert_allclose(row, theirs.embed([text], norm=True)[0], atol=1e-6)


def test_near_texts_are_nearer_than_far_ones() -> None:
    late, _, late_again, _, sum_ = DefaultEmbedder(kind="default").embed(TEXTS)
    assert late @ late_again > late @ sum_ + 0.2


def test_a_text_has_the_same_bits_in_every_batch() -> None:
    embedder = DefaultEmbedder(kind="default")
    long = ["word " * 4000, *TEXTS]
    together = embedder.embed(long * 60)
    for i, text in enumerate(long):
        alone = embedder.embed([text])[0]
        for copy in range(60):
            np.testing.assert_array_equal(together[copy * len(long) + i], alone)


def test_logging_stays_as_the_program_set_it() -> None:
    code = (
        "import logging; from auditkit.scoring.embedders.wordllama_embedder import DefaultEmbedder; "
        "DefaultEmbedder(kind='default').embed(['a']); print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] 30"
