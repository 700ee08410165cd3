"""Which embedder should be the offline default: what each finds of altered members at 1 % of controls, and its price.

``python -m benchmarks.embedders [NAME ...] [--records N]`` prints the tables of docs/embedders.md. Which packages are
installed decides the rows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from auditkit.lab.generators.table import GeneratorName, generator
from auditkit.lab.generators.variants import VARIANTS, variant_of, whole_text
from auditkit.records import Record
from auditkit.scoring.base import Scores, Vectors
from auditkit.scoring.positive_controls import altered_texts, vocabulary_of
from auditkit.statistics.roc import auc
from benchmarks.embedder_candidates import CANDIDATES, Candidate
from benchmarks.measure import Skipped

FPR = 0.01
SEED = 7
ROOT = Path(__file__).resolve().parents[1]
GSM8K = ROOT / "examples" / "smollm2" / "data"
LAB: tuple[GeneratorName, ...] = ("support", "maths", "preference")
ALTERED = ("numbers_changed", "words_replaced", "cut_90", "characters_edited", "prompt_alone")


@dataclass(frozen=True)
class Data:
    """Members, controls of the same topic, and altered members by the kind of their alteration."""

    name: str
    members: list[str]
    controls: list[str]
    altered: dict[str, list[str]]

    @property
    def texts(self) -> list[str]:
        """All of them."""
        return [*self.members, *self.controls, *(text for texts in self.altered.values() for text in texts)]


@dataclass(frozen=True)
class Found:
    """How well one kind of alteration is told from controls: AUC, and the share found at 1 % of the controls."""

    auc: float
    tpr: float


@dataclass(frozen=True)
class Row:
    """One candidate on one data set."""

    candidate: Candidate
    data: str
    texts_a_second: float
    threshold: float
    found: dict[str, Found]


def lab_data(name: GeneratorName, records: int) -> Data:
    """As many members as controls of one generator; each alteration is of every member, its truth known."""
    made, rng = generator(name), Random(SEED)
    drafts = [made.draw(rng) for _ in range(2 * records)]
    texts = [whole_text(made.record(draft)) for draft in drafts]
    altered: dict[str, list[str]] = {
        kind: [whole_text(variant_of(made, draft, kind, rng)) for draft in drafts[:records]] for kind in VARIANTS
    }
    altered["paraphrase, other names and numbers"] = [
        whole_text(made.record(draft.near_version(rng))) for draft in drafts[:records]
    ]
    return Data(f"lab: {name}", texts[:records], texts[records:], altered)


def gsm8k_data(records: int) -> Data:
    """Five times as many members as records, of GSM8K's train split; all of its test split as controls.

    Of ``records`` members each of the positive controls' alterations.

    Raises:
        Skipped: the data of examples/smollm2 are not there.
    """
    draw = Random(SEED)
    everything, controls = (_gsm8k(name) for name in ("gsm8k_train.jsonl", "gsm8k_test.jsonl"))
    members = draw.sample(everything, min(5 * records, len(everything)))
    chosen = draw.sample(members, min(records, len(members)))
    words = vocabulary_of([record.view("record") for record in members])
    altered = {kind: altered_texts(kind, chosen, "record", SEED, words) for kind in ALTERED}
    texts = [[record.view("record") for record in side] for side in (members, controls)]
    return Data("GSM8K", texts[0], texts[1], altered)


def measured(candidate: Candidate, data: Data) -> Row:
    """Embed everything once, then score queries by their best match among all members, as an audit does."""
    embed = candidate.made(data.controls)
    embed(data.controls[:8])
    started = time.perf_counter()
    vectors = embed(data.texts)
    seconds = time.perf_counter() - started
    members, controls = vectors[: len(data.members)], vectors[len(data.members) :][: len(data.controls)]
    null = _best(controls, members)
    threshold = float(np.quantile(null, 1 - FPR, method="higher"))
    found, at = {}, len(data.members) + len(data.controls)
    for kind, texts in data.altered.items():
        scores = _best(vectors[at : at + len(texts)], members)
        found[kind] = Found(auc(scores, null).value, float((scores > threshold).mean()))
        at += len(texts)
    return Row(candidate, data.name, len(data.texts) / seconds, threshold, found)


def table(rows: Sequence[Row]) -> str:
    """The rows of one data set as Markdown: "AUC / share found at 1 % of controls"."""
    kinds = list(rows[0].found)
    lines = [
        f"| {rows[0].data} | MB | texts/s | threshold | " + " | ".join(kind.replace("_", " ") for kind in kinds) + " |",
        "| --- " * (4 + len(kinds)) + "|",
    ]
    for row in rows:
        cells = [f"{row.found[kind].auc:.3f} / {row.found[kind].tpr:.2f}" for kind in kinds]
        facts = [row.candidate.name, f"{row.candidate.megabytes():.0f}", f"{row.texts_a_second:,.0f}"]
        lines.append("| " + " | ".join([*facts, f"{row.threshold:.3f}", *cells]) + " |")
    return "\n".join(lines)


def _best(queries: Vectors, vectors: Vectors, block: int = 512) -> Scores:
    """(n,) cosine of each query's nearest row."""
    blocks = (queries[start : start + block] @ vectors.T for start in range(0, len(queries), block))
    return np.concatenate([product.max(axis=1) for product in blocks])


def _gsm8k(name: str) -> list[Record]:
    path = GSM8K / name
    if not path.exists():
        raise Skipped(f"{path} is not here")
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [
        Record("gsm8k", "member", index, id=str(index), prompt=str(row["question"]), response=str(row["answer"]))
        for index, row in enumerate(rows)
    ]


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.embedders", description=__doc__)
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CANDIDATES)}; all by default")
    asked.add_argument("--records", type=int, default=1000, help="members of a lab data set, altered ones of GSM8K")
    given = asked.parse_args()
    candidates = [CANDIDATES[name] for name in given.names or CANDIDATES]
    sources: list[Callable[[int], Data]] = [*(partial(lab_data, name) for name in LAB), gsm8k_data]
    for source in sources:
        try:
            print(_table_of(candidates, source(given.records)), end="\n\n", flush=True)
        except Skipped as reason:
            print(f"skipped: {reason}")


def _table_of(candidates: Sequence[Candidate], data: Data) -> str:
    rows = []
    for candidate in candidates:
        try:
            rows.append(measured(candidate, data))
        except Skipped as reason:
            print(f"{candidate.name}: skipped: {reason}")
    return table(rows) if rows else ""


if __name__ == "__main__":
    main()
