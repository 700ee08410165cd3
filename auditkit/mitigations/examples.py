"""What a training mitigation trains on: the records of a recipe, from the policy's datasets or from files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Declared
from auditkit.records import Record
from auditkit.training.examples import Example, read_examples, read_replay, replayed
from auditkit.training.recipe import Recipe


def recipe_examples(recipe: Recipe, datasets: Sequence[Declared], seed: int) -> list[Example]:
    """What the recipe says is trained on, its replay included.

    Raises:
        DataError: a file cannot be read, or a line of it is no such row; every problem with its line.
        MitigationFailedError: there is nothing to train on.
    """
    if recipe.data:
        found = [example for part in recipe.data for example in read_examples(part)]
    else:
        found = [example for dataset in datasets if dataset.stage in ("sft", "dpo") for example in _members(dataset)]
    if not found:
        hint = "give recipe.data, or declare a dataset of stage sft or dpo"
        raise MitigationFailedError("there is nothing to train on", hint)
    found += replayed(recipe.replay, len(found), seed) if recipe.replay else []
    refuse_controls(found, datasets)
    return found


def refuse_controls(examples: Sequence[Example], datasets: Sequence[Declared]) -> None:
    """A control that is trained on is none: what the model then says of controls hides what it says of members.

    Letter case, punctuation and white space do not count.

    Raises:
        MitigationFailedError: an example repeats a control, or asks what a control asks.
    """
    known = {_words(text): dataset.name for dataset in datasets for one in dataset.controls for text in _texts(one)}
    known.pop("", None)
    found = [dataset for one in examples for text in (one.text, one.prompt) if (dataset := known.get(_words(text)))]
    if found:
        what = f"{len(found):,} texts to be trained on are controls of {', '.join(sorted(set(found)))}"
        raise MitigationFailedError(what, "take them out of the data: a control must never have been trained on")


def _texts(record: Record) -> tuple[str, str]:
    return record.text, record.prompt


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def check_files(recipe: Recipe) -> None:
    """Read what the recipe names, and keep nothing.

    Raises:
        DataError: a file cannot be read, or a line of it is no such row.
    """
    for part in recipe.data or ():
        read_examples(part)
    if recipe.replay:
        read_replay(recipe.replay)


def members_digest(datasets: Sequence[Declared]) -> str:
    """sha256 over the ids of all declared members, whatever their order: which records an audit is about."""
    ids = sorted(record.id for dataset in datasets for record in dataset.members)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def members_among(examples: Sequence[Example], datasets: Sequence[Declared]) -> tuple[int, int]:
    """How many of the declared members are trained on, by their words, and how many there are."""
    known = {_words(one.text) for one in examples}
    members = [record for dataset in datasets for record in dataset.members]
    return sum(_words(record.text) in known for record in members), len(members)


def _members(dataset: Declared) -> Iterator[Example]:
    """The members once each. One without an answer is a plain text."""
    for at, record in enumerate(dataset.members):
        cluster = (dataset.name, int(dataset.clusters[at]))
        if record.response:
            yield Example(record.prompt, record.response, source=dataset.name, cluster=cluster)
        else:
            yield Example("", record.prompt, plain=True, source=dataset.name, cluster=cluster)
