"""Writes the fictional texts: support records in near-versions, and plain texts for pretraining.

A *case* is what one customer met with: a product, a faulty part, a circumstance, two steps, an outcome. It
is written down once or, like the templated data of real post-training sets, in several near-versions with
other wordings, order, names and numbers. All versions of a case stay in one split. Cases are drawn
independently and from one generator, so members and controls differ in nothing but the draw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import vocabulary as words

VERSIONS = [1, 1, 2, 3, 4]  # how often a case is written down, drawn evenly

QUESTIONS = [
    "Hello, this is {name} in {town}. {Circ}, the {part} of my {product} {symptom}. What can I do?",
    "{Circ}, the {part} of our {product} {symptom}. Can you help? {name}, order {order}",
    "About order {order}, the {product}: {circ} the {part} {symptom}. Yours, {name}",
    "I bought my {product} in {town}. Now the problem: {circ}, the {part} {symptom}. My name is {name}.",
    "Please advise. My {product} gives me trouble. {Circ}, its {part} {symptom}. {name} from {town}",
]
ANSWERS = [
    "Thank you for writing, {name}. {Cause}. First {a}, then {b}. Your reference is {file}.",
    "Dear {name}, please {a}. After that, {b}. {Outcome}. Reference {file}.",
    "{Cause}. 1. {A}. 2. {B}. Kind regards, {company}, reference {file}",
    "We are sorry to hear that. Step one: {a}. Step two: {b}. Do quote {file}; {outcome}.",
    "Good news, {name}: {outcome}. Meanwhile, {a} and {b}. File number {file}.",
]
PLAIN = [
    "Care of the {series} {noun}. Every spring, {a}. The {part} deserves attention as well: {b}. Owners in"
    " {town} know it, and the {trade} {name} wrote it down in {year}.",
    "{town}, {day}. {Event}, and {event2}. The {trade} {name} said that nobody remembered such a {day}. In"
    " the evening {event3}.",
    "The {noun} of the {series} range comes in {colour} and {colour2}, with {material} at the {part} and"
    " {material2} on the back. It was drawn in {town} by {name}, a {trade} by training, and first sold in"
    " {year}.",
    "{name} was a {trade} in {town}. On {day} {event}. {name} put the {noun} on the cart, for {event2},"
    " and walked home over the hill in {colour} boots. Later {event3}.",
    "Minutes of the club at {town}, {year}. {name} reported that {event}. {name2} had seen that"
    " {event2}. It was agreed to buy a {colour} {noun} for the club room.",
    "Dear diary, on {day} {event}. I met {name} the {trade}, who keeps a {material} {noun} in the attic."
    " We talked until {event2}. Tomorrow I go to {town}.",
]


@dataclass(frozen=True)
class Case:
    """What every version of a record has in common; phrases are still pairs of wordings."""

    tag: str
    product: str
    part: str
    symptom: str
    circumstance: str
    cause: str
    steps: tuple[str, str]
    outcome: str


def _articles(text: str) -> str:
    """ "a ivory lamp" as "an ivory lamp"."""
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def _cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def draw_case(rng: Random) -> Case:
    """One case: independent draws, with the faulty part's kind deciding what can be wrong."""
    tag = rng.choice(sorted(words.CATEGORIES))
    nouns, parts = words.CATEGORIES[tag]
    chosen = [p.split(":") for p in rng.sample(parts.split("|"), 2)]
    steps = [rng.choice(words.ACTIONS[kind]).replace("{p}", part) for kind, part in chosen]
    kind, part = chosen[0]
    return Case(
        tag=tag,
        product=f"{rng.choice(words.SERIES)} {rng.choice(nouns.split('|'))}",
        part=part,
        symptom=rng.choice(words.SYMPTOMS[kind]),
        circumstance=rng.choice(words.CIRCUMSTANCES),
        cause=rng.choice(words.CAUSES[kind]),
        steps=(steps[0], steps[1]),
        outcome=rng.choice(words.OUTCOMES),
    )


def write_version(case: Case, rng: Random) -> tuple[str, str]:
    """Question and answer of a case in one wording: phrases, order, name, town, numbers, at times the series."""

    def worded(pair: str) -> str:
        return rng.choice(pair.split("|"))

    series, noun = case.product.split(" ", 1)
    if rng.random() < 0.25:
        series = rng.choice(words.SERIES)
    steps = [worded(step) for step in case.steps]
    if rng.random() < 0.25:
        rng.shuffle(steps)
    fields = {
        "name": rng.choice(words.NAMES),
        "town": rng.choice(words.TOWNS),
        "order": str(rng.randint(1000, 9999)),
        "file": str(rng.randint(100, 999)),
        "company": words.COMPANY,
        "product": f"{series} {noun}",
        "part": case.part,
        "symptom": worded(case.symptom),
        "circ": worded(case.circumstance),
        "cause": worded(case.cause),
        "outcome": worded(case.outcome),
        **dict(zip("ab", steps, strict=True)),
    }
    fields |= {_cap(key): _cap(value) for key, value in fields.items()}
    return rng.choice(QUESTIONS).format(**fields), rng.choice(ANSWERS).format(**fields)


def records(count: int, split: str, seed: int) -> list[dict[str, str]]:
    """`count` records of a split, all versions of a case together in it, in shuffled order."""
    rng = Random(f"{seed}/{split}")
    rows: list[dict[str, str]] = []
    number = 0
    while len(rows) < count:
        number += 1
        case = draw_case(rng)
        for _ in range(min(rng.choice(VERSIONS), count - len(rows))):
            question, response = write_version(case, rng)
            rows.append({"case": f"{split}-{number:04d}", "tag": case.tag, "question": question, "response": response})
    rng.shuffle(rows)
    return [{"id": f"{split}-{i:05d}", **row} for i, row in enumerate(rows)]


def plain_texts(count: int, seed: int, split: str = "pretraining") -> Iterator[str]:
    """Texts of other kinds in one language: manuals, town news, catalogues, stories, minutes, diaries."""
    rng = Random(f"{seed}/{split}")
    for _ in range(count):
        nouns, parts = words.CATEGORIES[rng.choice(sorted(words.CATEGORIES))]
        kind, part = rng.choice(parts.split("|")).split(":")
        pairs = rng.sample(words.ACTIONS[kind], 2)
        steps = [rng.choice(pair.split("|")).replace("{p}", part) for pair in pairs]
        names, colours, materials = (rng.sample(x, 2) for x in (words.NAMES, words.COLOURS, words.MATERIALS))
        events = rng.sample(words.EVENTS, 3)
        text = rng.choice(PLAIN).format(
            series=rng.choice(words.SERIES),
            noun=rng.choice(nouns.split("|")),
            part=part,
            a=steps[0],
            b=steps[1],
            town=rng.choice(words.TOWNS),
            trade=rng.choice(words.TRADES),
            name=names[0],
            name2=names[1],
            year=rng.randint(1890, 1989),
            day=rng.choice(words.WHEN),
            Event=_cap(events[0]),
            event=events[0],
            event2=events[1],
            event3=events[2],
            colour=colours[0],
            colour2=colours[1],
            material=materials[0],
            material2=materials[1],
        )
        yield _articles(text)
