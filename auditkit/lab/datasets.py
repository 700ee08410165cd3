"""Makes a recipe's datasets from a seed: members with the truth about each, and controls that are none of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from auditkit.errors import AuditkitError, DataError, Problem
from auditkit.lab.generators.base import Draft, Fields, Generator
from auditkit.lab.generators.maths import final_number
from auditkit.lab.generators.system_turns import system_turn
from auditkit.lab.generators.table import generator
from auditkit.lab.generators.variants import VARIANTS, similarity, variant_of, whole_text
from auditkit.lab.recipe_file import LoadedRecipe
from auditkit.lab.recipe_sections import Dataset
from auditkit.training.rows import system_turns
from auditkit.training.seeds import seeded

TRIES = 200
CANARY = "canary"  # the kind of a planted text
SYSTEMS = "systems"  # the field of a data file that holds system turns


@dataclass(frozen=True)
class Member:
    """A record that is trained on, and what is known of it.

    ``variant_of`` is the row of the record that it varies, ``distance`` its levenshtein_similarity to that record (1 is
    the same text). ``repeats`` is how often each epoch shows it: the first so many times behind one of the ``systems``,
    the last ``respaced`` times with two spaces between words.
    """

    fields: Fields
    repeats: int
    kind: str
    variant: str = ""
    variant_of: int | None = None
    distance: float | None = None
    systems: tuple[str, ...] = ()
    respaced: int = 0

    @property
    def each_time(self) -> tuple[str, ...]:
        """(repeats,) the system turn that it stands behind each time an epoch shows it; "" is none."""
        return system_turns(self.systems, self.repeats)

    def row(self) -> dict[str, Any]:
        """As it stands in the data file."""
        truth = {name: getattr(self, name) for name in ("repeats", "variant", "variant_of", "distance", "kind")}
        told = {SYSTEMS: list(self.systems), "respaced": self.respaced}
        return {**self.fields, **truth, **{name: value for name, value in told.items() if value}}


@dataclass(frozen=True)
class Corpus:
    """A dataset's members, in the order of its file, and its controls."""

    dataset: Dataset
    members: tuple[Member, ...]
    controls: tuple[Fields, ...]

    def rows(self) -> list[dict[str, Any]]:
        """The members as they stand in the data file."""
        return [member.row() for member in self.members]


@dataclass
class _Seen:
    """What was written already, so that no record is another by accident, and no control a member."""

    texts: set[str] = field(default_factory=set)
    prompts: set[str] = field(default_factory=set)

    def take(self, fields: Fields, new_prompt: bool = True) -> bool:
        """Whether the record is new; it is remembered then. A variant may ask what its original asks."""
        text, prompt = _normal(whole_text(fields)), _normal(next(iter(fields.values())))
        if text in self.texts or (new_prompt and prompt in self.prompts):
            return False
        self.texts.add(text)
        self.prompts.add(prompt)
        return True


@dataclass(frozen=True)
class _Writer:
    """Where a dataset's records come from, and what they must not be."""

    loaded: LoadedRecipe
    dataset: Dataset
    rng: Random
    seen: _Seen

    def new(self, write: Callable[[], Fields], new_prompt: bool = True) -> Fields:
        """A record that is not there yet, by trying again."""
        for _ in range(TRIES):
            fields = self._spaced(write())
            if self.seen.take(fields, new_prompt):
                return fields
        what = f"dataset {self.dataset.name}: its generator finds no new record in {TRIES} tries"
        raise AuditkitError(what, "ask for fewer records, versions or variants")

    def _spaced(self, fields: Fields) -> Fields:
        if self.dataset.spacing == "usual":
            return fields
        return widely_spaced(fields)


def make_corpora(loaded: LoadedRecipe, seed: int) -> dict[str, Corpus]:
    """Every dataset of the recipe by name. The same recipe and seed give the same texts everywhere.

    Raises:
        AuditkitError: a generator has no more new records to give, or a file has too few rows.
        DataError: a row of a JSONL file cannot be read.
    """
    seen = _Seen()
    return {
        dataset.name: _corpus(_Writer(loaded, dataset, seeded(seed, dataset.name), seen))
        for dataset in loaded.recipe.datasets
    }


def spare_texts(loaded: LoadedRecipe, seed: int, corpora: dict[str, Corpus], count: int = 400) -> list[str]:
    """Texts of every generator that are neither members nor controls: a tokenizer may learn from them."""
    known = {_normal(whole_text(m.fields)) for c in corpora.values() for m in c.members}
    known |= {_normal(whole_text(fields)) for c in corpora.values() for fields in c.controls}
    texts = []
    for name in sorted({dataset.generator for dataset in loaded.recipe.datasets if dataset.generator}):
        source, rng = generator(name), seeded(seed, "tokenizer", name)
        drawn = (whole_text(source.record(source.draw(rng))) for _ in range(count))
        texts += [text for text in drawn if _normal(text) not in known]
    if any(dataset.instructed for dataset in loaded.recipe.datasets):
        rng = seeded(seed, "tokenizer", SYSTEMS)
        texts += [system_turn(rng) for _ in range(count)]
    return texts


def _corpus(writer: _Writer) -> Corpus:
    dataset, rng = writer.dataset, writer.rng
    if dataset.generator is None:
        return _from_files(writer)
    source = generator(dataset.generator)
    drafts, members = _originals(source, writer)
    members += _variants(source, writer, drafts, members)
    controls = [writer.new(lambda: source.record(source.draw(rng))) for _ in range(dataset.controls)]
    shown = [replace(one, respaced=round(dataset.respaced * one.repeats)) for one in _instructed(members, writer)]
    return Corpus(dataset, (*shown, *_canaries(dataset)), tuple(controls))


def widely_spaced(fields: Fields) -> Fields:
    """With two spaces between words."""
    return {name: text.replace(" ", "  ") for name, text in fields.items()}


def _instructed(members: list[Member], writer: _Writer) -> list[Member]:
    """With plain texts as the system turns of so many of their repeats."""
    share, rng = writer.dataset.instructed, writer.rng
    if not share:
        return members
    return [replace(one, systems=tuple(system_turn(rng) for _ in range(round(share * one.repeats)))) for one in members]


def _canaries(dataset: Dataset) -> list[Member]:
    """Each canary once, with how often it is repeated: they come last, and no record varies one."""
    if dataset.canaries is None:
        return []
    rows = {row["id"]: row for row in dataset.canaries.rows(dataset.name)}
    return [
        Member({turn: str(row[turn]) for turn in ("prompt", "response")}, int(row["repeats"]), CANARY)
        for row in rows.values()
    ]


def _originals(source: Generator, writer: _Writer) -> tuple[list[tuple[int, Draft]], list[Member]]:
    """Records as the plan has them, in random order of repeats; near-versions follow the first of their kind."""
    dataset, rng = writer.dataset, writer.rng
    drafts: list[tuple[int, Draft]] = []
    members: list[Member] = []
    kind = str(dataset.generator)
    for repeats in rng.sample(_plan(dataset), len(_plan(dataset))):
        draft, fields = _new_draft(source, writer)
        first = len(members)
        drafts.append((first, draft))
        members.append(Member(fields, repeats, kind))
        for _ in range(dataset.versions - 1):
            near = writer.new(partial(_near_version, source, draft, rng), new_prompt=False)
            members.append(Member(near, repeats, kind, "paraphrase", first, similarity(fields, near)))
    return drafts, members


def _variants(
    source: Generator, writer: _Writer, drafts: Sequence[tuple[int, Draft]], members: Sequence[Member]
) -> list[Member]:
    dataset, made = writer.dataset, []
    for kind in VARIANTS:
        for _ in range(getattr(dataset.variants, kind)):
            row, draft = writer.rng.choice(drafts)
            fields = writer.new(partial(variant_of, source, draft, kind, writer.rng), new_prompt=False)
            distance = similarity(members[row].fields, fields)
            made.append(Member(fields, dataset.variant_repeats, str(dataset.generator), kind, row, distance))
    return made


def _new_draft(source: Generator, writer: _Writer) -> tuple[Draft, Fields]:
    drafts: list[Draft] = []

    def drawn() -> Fields:
        drafts.append(source.draw(writer.rng))
        return source.record(drafts[-1])

    fields = writer.new(drawn)
    return drafts[-1], fields


def _near_version(source: Generator, draft: Draft, rng: Random) -> Fields:
    return source.record(draft.near_version(rng))


def _plan(dataset: Dataset) -> list[int]:
    """How often each record is repeated, the plan spelt out."""
    return [repeats for repeats, count in dataset.repeats.items() for _ in range(count)]


def _from_files(writer: _Writer) -> Corpus:
    dataset, plan = writer.dataset, _plan(writer.dataset)
    picked = _picked(writer, str(dataset.jsonl), len(plan))
    repeats = writer.rng.sample(plan, len(plan))
    members = tuple(Member(fields, n, "jsonl") for fields, n in zip(picked, repeats, strict=True))
    controls = _picked(writer, dataset.jsonl_controls, dataset.controls) if dataset.jsonl_controls else []
    return Corpus(dataset, (*members, *_canaries(dataset)), tuple(controls))


def _picked(writer: _Writer, named: str, count: int) -> list[Fields]:
    path, dataset = writer.loaded.path(named), writer.dataset
    rows = [fields for fields in _read(path, dataset) if _length(fields) <= dataset.max_characters]
    found = [fields for fields in writer.rng.sample(rows, len(rows)) if writer.seen.take(fields)][:count]
    if len(found) < count:
        what = f"{path} has {len(found)} rows that are new, and {count} are asked for"
        raise AuditkitError(what, "ask for fewer in `repeats` or `controls`")
    return found


def _read(path: Path, dataset: Dataset) -> Iterator[Fields]:
    assert dataset.fields is not None  # the recipe saw to it
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        hint = "smollm2 wants examples/smollm2/prepare.py to be run first"
        raise DataError([Problem(path, None, f"cannot be read: {error}", hint)]) from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            fields = {"prompt": row[dataset.fields.prompt].strip(), "response": row[dataset.fields.response].strip()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError([Problem(path, number, "no JSON object with the declared text fields")]) from None
        answer = final_number(fields["response"])
        yield fields if answer is None else {**fields, "answer": answer}


def _length(fields: Fields) -> int:
    return len(fields["prompt"]) + len(fields["response"])


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
