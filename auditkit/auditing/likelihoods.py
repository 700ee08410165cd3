"""The reading stage: what each model says of every record, a part at a time on disk, merged when a side is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auditkit.auditing.blinding import blinded_schema
from auditkit.auditing.context import Context
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.reading_plan import Surroundings, prefix_for, readings_of
from auditkit.corpus.base import Corpus
from auditkit.files import replacing
from auditkit.models.base import LanguageModel, RecordTokens, TokenReading
from auditkit.probes.base import EMPTY, TOO_LONG, Reading, Rendering, Role
from auditkit.records import Prefix, Record, Sampler, TurnFormat

if TYPE_CHECKING:
    import pyarrow as pa

PART = 2048  # records read between two writes: what is lost when a run is killed, and what is held in memory
NO_TOKENS = RecordTokens((), 0, 0, 0)
NOTHING = TokenReading(*(np.zeros(0), np.zeros(0, bool), np.zeros(0), np.zeros(0), np.zeros(0)))


def read_likelihoods(context: Context, opened: OpenModel, role: Role, around: Surroundings) -> None:
    """Make every pass of this model that is not yet on disk."""
    for reading in readings_of(context.policy):
        if reading.role == role:
            make_pass(context, opened, reading, around)


def make_pass(context: Context, opened: OpenModel, reading: Reading, around: Surroundings) -> None:
    """One reading of every record and control, under each of its prefixes; what is on disk is not read again."""
    for shared in around.prefixes[reading.under]:
        for data in context.datasets:
            for corpus in (data.members, data.controls):
                path = likelihoods_path(context, reading, shared.name, corpus)
                if not path.exists() and applies(corpus, reading.rendering):
                    prefix = prefix_for(opened.probed, reading.under, shared)
                    _Pass(context, reading, opened.probed, prefix, around.turns).write(corpus, path)


def likelihoods_path(context: Context, reading: Reading, prefix: str, corpus: Corpus) -> Path:
    """Where one side's pass is kept."""
    name = f"{reading.role}+{reading.under.replace(':', '.')}+{reading.rendering}"
    return context.run.likelihoods_file(name, prefix, corpus.dataset, corpus.split)


def applies(corpus: Corpus, rendering: Rendering) -> bool:
    """Rejected replies are read only where there are any."""
    return rendering == "record" or any(record.rejected for record in corpus.records)


class _Pass:
    """One model over the records of one side after the other, under one prefix."""

    def __init__(
        self, context: Context, reading: Reading, model: LanguageModel, prefix: Prefix, turns: TurnFormat | None
    ) -> None:
        self.context = context
        self.reading = reading
        self.model = model
        self.prefix = prefix
        self.turns = turns
        self.sampler = self._sampler() if reading.sampled else None

    def write(self, corpus: Corpus, path: Path) -> None:
        """Read the parts that are not there, then put them together under the final name."""
        records, run = corpus.records, self.context.run
        parts = [run.work / f"{path.stem}-{start:09d}.parquet" for start in range(0, len(records), PART)]
        done = sum(min(PART, len(records) - PART * number) for number, part in enumerate(parts) if part.exists())
        role = f"checkpoint {run.arm}" if run.kin == "checkpoints" else self.reading.role
        label = f"read {corpus.dataset} {corpus.split}s, {role}, {self.reading.under}"
        with self.context.progress.stage(label, len(records), "records", done) as stage:
            for number, part in enumerate(parts):
                if not part.exists():
                    chunk = records[PART * number : PART * (number + 1)]
                    _write_rows(part, self._read(chunk))
                    stage.advance(len(chunk))
        _merge(parts, path)
        self.context.log.append(
            "read", model=self.reading.role, under=self.reading.under, dataset=corpus.dataset, split=corpus.split
        )

    def _read(self, records: Sequence[Record]) -> list[tuple[RecordTokens, TokenReading, str]]:
        """Each record's tokens, what the model says of them, and why nothing where nothing."""
        tokens = [self._tokens(record) for record in records]
        reasons = [self._reason(found) for found in tokens]
        readable = [row for row, reason in enumerate(reasons) if not reason]
        read = self.model.read(
            [tokens[row].ids for row in readable], self.prefix, moments=self.reading.moments, sampler=self.sampler
        )
        by_row = dict(zip(readable, read, strict=True))
        return [
            (found, by_row.get(row, NOTHING), reason)
            for row, (found, reason) in enumerate(zip(tokens, reasons, strict=True))
        ]

    def _tokens(self, record: Record) -> RecordTokens:
        response = record.rejected if self.reading.rendering == "rejected" else record.response
        missing = not record.prompt or (self.reading.rendering == "rejected" and not record.rejected)
        return NO_TOKENS if missing else self.model.record_tokens(record.prompt, response, self.turns, self.prefix)

    def _reason(self, tokens: RecordTokens) -> str:
        if not tokens.ids:
            return EMPTY
        return TOO_LONG if len(self.prefix.token_ids) + len(tokens.ids) > self.model.context else ""

    def _sampler(self) -> Sampler:
        name = self.reading.under.removeprefix("attack:")
        return next(attack.sampler for attack in self.context.policy.prefix_attacks if attack.label == name)


def _schema() -> pa.Schema:
    import pyarrow as pa

    lists = dict.fromkeys(("logprobs", "means", "deviations", "sampled"), pa.list_(pa.float32()))
    ends = dict.fromkeys(("question", "prompt", "answer", "forced_from", "forced_to"), pa.int32())
    return pa.schema(
        {
            "ids": pa.list_(pa.int32()),
            **ends,
            "retokenised": pa.bool_(),
            "greedy": pa.list_(pa.bool_()),
            **lists,
            "reason": pa.string(),
        }
    )


def _write_rows(path: Path, rows: list[tuple[RecordTokens, TokenReading, str]]) -> None:
    """Write one part, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in _schema().names}
    for tokens, reading, reason in rows:
        for name in ("question", "prompt", "answer", "retokenised"):
            columns[name].append(getattr(tokens, name))
        for name, value in zip(("forced_from", "forced_to"), tokens.forced, strict=True):
            columns[name].append(value)
        columns["ids"].append(np.asarray(tokens.ids, np.int32))
        columns["greedy"].append(reading.greedy)
        for name in ("logprobs", "means", "deviations", "sampled"):
            columns[name].append(getattr(reading, name).astype(np.float32))
        columns["reason"].append(reason)
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=_schema()), temporary, compression="zstd")


def _merge(parts: list[Path], target: Path) -> None:
    import pyarrow.parquet as pq

    schema = blinded_schema(_schema())
    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, schema=_schema()).cast(schema))
    for part in parts:
        part.unlink()


def stored_rows(path: Path) -> Iterator[tuple[RecordTokens, TokenReading, str]]:
    """What ``read_likelihoods`` kept, in record order, streamed."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=PART):
            flat = {name: _slices(batch.column(name)) for name in ("ids", "greedy", *_FLOATS)}
            plain = {name: batch.column(name).to_pylist() for name in _PLAIN}
            for row in range(batch.num_rows):
                yield _row(flat, plain, row)


_FLOATS = ("logprobs", "means", "deviations", "sampled")
_PLAIN = ("question", "prompt", "answer", "forced_from", "forced_to", "retokenised", "reason")


def _slices(column: pa.ListArray) -> list[Any]:
    """A list column as one numpy array a row."""
    ends = column.offsets.to_numpy() - column.offsets[0].as_py()
    return np.split(column.flatten().to_numpy(zero_copy_only=False), ends[1:-1])


def _row(flat: dict[str, list[Any]], plain: dict[str, list[Any]], row: int) -> tuple[RecordTokens, TokenReading, str]:
    value = {name: column[row] for name, column in plain.items()}
    tokens = RecordTokens(
        tuple(flat["ids"][row].tolist()),
        value["question"],
        value["prompt"],
        value["answer"],
        (value["forced_from"], value["forced_to"]),
        value["retokenised"],
    )
    floats = {name: flat[name][row].astype(np.float64) for name in _FLOATS}
    return tokens, TokenReading(greedy=flat["greedy"][row].astype(bool), **floats), value["reason"]
