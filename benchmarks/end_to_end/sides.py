"""Both sides of one case: an audit by auditkit, the same by the naive pipeline, each with its stages timed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.auditing.embedding import cache_folder
from auditkit.auditing.progress import Silent
from auditkit.auditing.runner import Result, start
from auditkit.policy.schema import CalibrateFpr, Policy
from auditkit.records import View
from auditkit.report.base import AttackInfo, AuditReport
from benchmarks.end_to_end import naive
from benchmarks.end_to_end.naive import Embedder, NaiveAttack, NaiveGeneration, Rows, Sampler, Texts

STAGES = ("generate", "embed", "nearest", "strings", "rest")
OF_LABEL = {"embed": "embed", "compare": "nearest", "match": "strings"}
Key = tuple[str, View]  # dataset and view
Flags = dict[str, tuple[Any, Any]]


@dataclass
class Clock(Silent):
    """Seconds by stage; listens to an audit's progress, whose labels begin with what is done."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what happens meanwhile to a stage."""
        before = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - before

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Any]:
        """As `Progress.stage`. An attack's stage begins when the model is loaded: that is timed by the run itself."""
        what = OF_LABEL.get(name.split(maxsplit=1)[0])
        with super().stage(name, total, unit, done) as listening:
            if what is None:
                yield listening
                return
            with self.timed(what):
                yield listening


@dataclass(frozen=True)
class Ours:
    """A finished audit."""

    result: Result
    seconds: dict[str, float]

    @property
    def report(self) -> AuditReport:
        """What it found."""
        return self.result.report

    @property
    def verdict(self) -> str:
        """Its outcome."""
        return str(self.report.verdict.outcome)


def by_auditkit(policy: Policy, out: Path) -> Ours:
    """A whole audit with all that belongs to it, as in a process of its own: embedder loaded anew, its cache empty."""
    from auditkit.scoring.embedders.sentence_embedder import _model

    _model.cache_clear()
    shutil.rmtree(cache_folder(policy), ignore_errors=True)
    clock, before = Clock(), time.perf_counter()
    result = start(policy, out, clock)
    whole = time.perf_counter() - before
    clock.seconds["generate"] = result.report.run.stage_seconds["generate"]
    clock.seconds["rest"] = whole - sum(clock.seconds.values())
    return Ours(result, clock.seconds)


@dataclass(frozen=True)
class Naive:
    """What the naive pipeline found."""

    generations: dict[str, list[NaiveGeneration]]
    verdict: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class NaiveAudit:
    """The naive pipeline on a policy's model and data. ``texts``: each view of each dataset."""

    policy: Policy
    attacks: Sequence[tuple[str, str, list[NaiveAttack]]]  # name, kind, and one for each prefix
    texts: dict[Key, Texts]
    sampler: Sampler
    embedder: Embedder

    def run(self) -> Naive:
        """Everything, with models loaded anew."""
        fresh = replace(self, sampler=replace(self.sampler), embedder=replace(self.embedder))
        return fresh._run()

    def _run(self) -> Naive:
        clock = Clock()
        with clock.timed("generate"):
            made = {
                name: [each for part in parts for each in self.sampler.run(part)] for name, _, parts in self.attacks
            }
        outcomes: dict[str, str] = {}
        embedded: dict[tuple[str, View], Rows] = {}
        for key, texts in self.texts.items():
            with clock.timed("embed"):
                members, controls = self.embedder.embed(texts.members), self.embedder.embed(texts.controls)
                for name, generations in made.items():
                    if (name, key[1]) not in embedded:
                        embedded[name, key[1]] = self.embedder.embed([each.view(key[1]) for each in generations])
            for name, kind, _ in self.attacks:
                queries = [each.view(key[1]) for each in made[name]]
                with clock.timed("nearest"):
                    tau = self._threshold(members, controls)
                    found = naive.nearest(embedded[name, key[1]], members)
                    chance = naive.nearest(embedded[name, key[1]], controls[1::2])
                with clock.timed("strings"):
                    naive.string_matches(queries, texts.members)
                with clock.timed("rest"):
                    whole = np.array([each.complete(key[1]) for each in made[name]])
                    outcomes |= self._judged(
                        key, (name, kind), _flags(found, chance, tau, whole), float(1 - whole.mean())
                    )
        return Naive(made, naive.overall(outcomes), clock.seconds)

    def _threshold(self, members: Rows, controls: Rows) -> float:
        """At the policy's share of one half of the controls; the other half is what leaks are compared with."""
        setting = self.policy.scoring.semantic_threshold
        assert isinstance(setting, CalibrateFpr)
        return naive.threshold(naive.nearest(controls[::2], members)["score"], setting.calibrate_fpr)

    def _judged(self, key: Key, attack: tuple[str, str], flags: Flags, unfinished: float) -> dict[str, str]:
        """The outcome of each rule of the gate on this attack's generations against this view."""
        made = {}
        for number, rule in enumerate(self.policy.gate):
            meant = rule.attack in ("*", *attack) and rule.dataset in ("*", key[0])
            if meant and self._view(rule.view, key[0]) == key[1] and rule.metric in flags:
                interval = naive.difference(*flags[rule.metric])
                made[f"{number} {attack[0]} {key}"] = naive.outcome(interval, rule.max, unfinished)
        return made

    def _view(self, wanted: View, dataset: str) -> View:
        return wanted if (dataset, wanted) in self.texts else "prompt"


def _flags(found: naive.Found, chance: naive.Found, tau: float, whole: Any) -> Flags:
    """What each rate is the mean of, on members and on controls."""
    return {
        "adjusted_coverage": (found["reached"] >= tau, chance["reached"] >= tau),
        "adjusted_semantic_rate": (found["score"][whole] >= tau, chance["score"][whole] >= tau),
    }


def naive_audit(ours: Ours, policy: Policy, turn_change: str, models: tuple[Sampler, Embedder]) -> NaiveAudit:
    """The naive pipeline behind the prefixes that the audit used: who writes it reads them off the chat template."""
    views = dict.fromkeys((one.dataset, one.view) for one in ours.report.calibration)
    texts = {key: _texts(policy, *key) for key in views}
    attacks = [(info.name, info.kind, _of_prefixes(info, turn_change)) for info in ours.report.attacks]
    return NaiveAudit(policy, attacks, texts, *models)


def _of_prefixes(info: AttackInfo, turn_change: str) -> list[NaiveAttack]:
    share, rest = divmod(info.generations, len(info.prefixes))
    limit, seed = int(info.parameters["max_new_tokens"]), int(info.parameters["seed"])
    return [
        NaiveAttack(info.name, prefix.text, turn_change, share + (at < rest), limit, seed + at)
        for at, prefix in enumerate(info.prefixes)
    ]


def _texts(policy: Policy, dataset: str, view: View) -> Texts:
    section = next(section for section in policy.datasets if section.name == dataset)
    assert section.controls is not None
    return Texts(*(_view_texts(Path(file), section.fields, view) for file in (section.path, section.controls)))


def _view_texts(file: Path, fields: Any, view: View) -> list[str]:
    """Question and answer as one text, or the question alone."""
    import json
    import unicodedata

    rows = map(json.loads, file.read_text("utf-8").splitlines())
    names = [fields.prompt] + ([fields.response] if view == "record" and fields.response else [])
    return [unicodedata.normalize("NFC", "\n".join(row[name].strip() for name in names)) for row in rows]
