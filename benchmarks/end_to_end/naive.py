"""The audit as one would write it in an afternoon from what the libraries offer: the peer of ``make bench-e2e``.

Nothing here is slower than it has to be: the model and the embedder are loaded once, ``generate`` runs in batches
with its own key-value cache and stops at its own end-of-sequence ids, sentence-transformers sorts by length, rapidfuzz
takes all cores.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.records import View

BATCH = 16
SPREAD = 1.96
MOST_UNFINISHED = 0.05

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Found = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class NaiveAttack:
    """Samples from a prefix; ``turn_change`` goes behind a user's turn that ended, as the chat template has it."""

    name: str
    prefix: str
    turn_change: str
    samples: int
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class NaiveGeneration:
    """The turns of a sample as texts, and whether its last one came to its end."""

    turns: tuple[str, ...]
    finished: bool

    def view(self, view: View) -> str:
        """The text that is compared with this view of a record."""
        text = self.turns[0] if view == "prompt" else "\n".join(filter(None, self.turns))
        return unicodedata.normalize("NFC", text).strip()

    def complete(self, view: View) -> bool:
        """Whether this view of it is whole."""
        return self.finished or (view == "prompt" and len(self.turns) > 1)


@dataclass(frozen=True)
class Texts:
    """What generations are compared with: one view of one dataset."""

    members: Sequence[str]
    controls: Sequence[str]


@dataclass(frozen=True)
class Sampler:
    """``generate`` on a model in a folder, in the given dtype."""

    folder: Path
    dtype: str

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Model and tokenizer."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(self.folder)
        dtype = "auto" if self.dtype == "auto" else getattr(torch, self.dtype)
        model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=dtype)
        tokenizer.padding_side = "left"
        tokenizer.pad_token_id = tokenizer.pad_token_id or 0
        return model.eval(), tokenizer

    def run(self, attack: NaiveAttack) -> list[NaiveGeneration]:
        """All samples of an attack: the user's turn first, then the answer of those whose turn ended."""
        import torch

        torch.manual_seed(attack.seed)
        starts = range(0, attack.samples, BATCH)
        return [made for at in starts for made in self._batch(attack, min(BATCH, attack.samples - at))]

    def _batch(self, attack: NaiveAttack, count: int) -> Iterator[NaiveGeneration]:
        prefix = self._ids(attack.prefix)
        users = self._generate([prefix] * count, attack.max_new_tokens)
        header = self._ids(attack.turn_change)
        ended = [row for row, (_, finished) in enumerate(users) if finished]
        room = attack.max_new_tokens - min((len(users[row][0]) for row in ended), default=0) - len(header)
        answers = self._generate([prefix + users[row][0] + header for row in ended], room) if ended and room > 0 else []
        second = dict(zip(ended, answers, strict=False))
        for row, (user, _) in enumerate(users):
            # The budget is the whole sample's: what a neighbour's shorter question left over is not this row's.
            left = attack.max_new_tokens - len(user) - len(header)
            answer, finished = second.get(row, ([], False))
            turns = (self._text(user), self._text(answer[: max(0, left)])) if row in second else (self._text(user),)
            yield NaiveGeneration(turns, finished and len(answer) <= left)

    def _generate(self, rows: list[list[int]], most: int) -> list[tuple[list[int], bool]]:
        """New ids of each row without the stop token, and whether it stopped by itself."""
        import torch

        model, tokenizer = self.loaded
        given = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        with torch.inference_mode():
            made = model.generate(
                **given,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=most,
                pad_token_id=tokenizer.pad_token_id,
            )
        stops = model.generation_config.eos_token_id
        ends = set(stops if isinstance(stops, list) else [stops])
        return [_until(ids, ends) for ids in made[:, given["input_ids"].shape[1] :].tolist()]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.loaded[1](text, add_special_tokens=False)["input_ids"]
        return ids

    def _text(self, ids: list[int]) -> str:
        text: str = self.loaded[1].decode(ids, skip_special_tokens=True)
        return text.strip()


def _until(ids: list[int], ends: set[int]) -> tuple[list[int], bool]:
    stop = next((at for at, token in enumerate(ids) if token in ends), None)
    return (ids, False) if stop is None else (ids[:stop], True)


@dataclass(frozen=True)
class Embedder:
    """sentence-transformers as its documentation has it."""

    folder: Path

    @cached_property
    def loaded(self) -> Any:
        """The model."""
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(self.folder))

    def embed(self, texts: Sequence[str]) -> Rows:
        """(n, d) unit rows."""
        rows: Rows = self.loaded.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return rows


def nearest(queries: Rows, members: Rows) -> Found:
    """The nearest member of each query, and the score of each member's nearest query: one product in memory."""
    products = queries @ members.T
    record = products.argmax(axis=1)
    return {"record": record, "score": products[np.arange(len(queries)), record], "reached": products.max(axis=0)}


def string_matches(generations: Sequence[str], members: Sequence[str]) -> Found:
    """The most similar member of each generation by Levenshtein and by Indel."""
    from rapidfuzz.distance import Indel, Levenshtein
    from rapidfuzz.process import cdist

    found: Found = {}
    for name, measure in (("levenshtein", Levenshtein), ("indel", Indel)):
        similar = cdist(
            generations, members, scorer=measure.normalized_similarity, workers=-1, dtype=np.float64, score_cutoff=None
        )
        best = similar.argmax(axis=1)
        found |= {f"{name}_record": best, name: similar[np.arange(len(best)), best]}
    return found


def threshold(null: Rows, rate: float) -> float:
    """The score that at most this share of the controls reaches against the members."""
    return float(np.nextafter(np.quantile(null, 1 - rate, method="higher"), np.float32(2), dtype=np.float32))


def difference(members: Floats, controls: Floats) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares, from flags."""
    if not len(members) or not len(controls):
        return -1.0, 1.0
    a, b = members.mean(), controls.mean()
    spread = SPREAD * float(np.sqrt(a * (1 - a) / len(members) + b * (1 - b) / len(controls)))
    return float(a - b) - spread, float(a - b) + spread


def outcome(interval: tuple[float, float], limit: float, unfinished: float) -> str:
    """Pass or fail where the interval leaves no doubt; nothing passes where more than one in twenty was cut."""
    if interval[0] > limit:
        return "fail"
    return "pass" if interval[1] <= limit and unfinished <= MOST_UNFINISHED else "inconclusive"


def overall(outcomes: Mapping[str, str]) -> str:
    """Any fail is fail, else anything short of pass is inconclusive."""
    found = set(outcomes.values())
    return "fail" if "fail" in found else ("pass" if found == {"pass"} else "inconclusive")
