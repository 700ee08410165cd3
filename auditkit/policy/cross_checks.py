"""What no single section can know: names that refer to each other, files that must be there, data that must stay.

The checks read the raw data and take nothing for granted, so that they can say their part even where the schema
complains as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal

from auditkit.errors import Problem
from auditkit.policy.checkpoint_checks import checkpoint_complaints
from auditkit.policy.plugin_facts import arm_names, is_probe, lacking, needs_base, sends_texts_away
from auditkit.policy.schema import PROBE_OF
from auditkit.policy.served_checks import served_complaints
from auditkit.policy.sources import neighbour, unreadable
from auditkit.policy.suggestions import did_you_mean, one_of
from auditkit.policy.worth_checks import worth_complaints
from auditkit.policy.yaml_source import Document, Keys, dotted, shown

HUB = "hub://"
PATH_LENGTH = 300
_PINNED = re.compile(r"hub://[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[0-9a-f]{40}(/.*)?", re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_PIN_HINT = "pin the commit: hub://org/name@<40 hexadecimal digits>, as the repository's history shows it"


class Checker:
    """Runs the checks over one document and collects what is wrong."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.spoken_of: set[Keys] = set()  # the places that a problem was found at

    def run(self) -> list[Problem]:
        """Every problem that the checks find."""
        self._datasets()
        self._models()
        self._unique_names("attacks", "attack")
        self._unique_names("probes", "probe")
        self._unique_names("mitigations", "mitigation")
        self._unique_names("checkpoints", "checkpoint")
        self._probes()
        self._mitigated_arm()
        self._external_embedder()
        found = (
            served_complaints(self.document),
            worth_complaints(self.document),
            checkpoint_complaints(self.document),
        )
        for keys, message, hint in chain.from_iterable(found):
            self._add(keys, message, hint)
        for position, rule in self._sections("gate"):
            self._rule(("gate", position), rule)
        return self.problems

    def _datasets(self) -> None:
        self._unique_names("datasets", "dataset")
        for position, section in self._sections("datasets"):
            for key in ("path", "controls"):
                if isinstance(section.get(key), str):
                    self._source(("datasets", position, key), section[key])
            if self._calibrated() and not section.get("controls"):
                hint = (
                    "give controls: records of the same kind that the model was never trained on; or a fixed threshold"
                )
                message = f"{_named(section)} has no controls, and scoring.semantic_threshold is calibrated on them"
                self._add(("datasets", position), message, hint)

    def _source(self, keys: Keys, source: str) -> None:
        if not source:
            self._add(keys, f"`{dotted(keys)}` is empty", "give a file, a folder of shards, or hub://org/name@<commit>")
        elif source.startswith(HUB):
            if not _PINNED.fullmatch(source):
                self._add(keys, f"`{dotted(keys)}`: {shown(source, PATH_LENGTH)} is not pinned to a commit", _PIN_HINT)
        elif _SCHEME.match(source):
            self._add(
                keys, f"`{dotted(keys)}`: {shown(source, PATH_LENGTH)} is no path", "download it first, or use hub://"
            )
        elif (reason := unreadable(source)) is not None:
            hint = "paths are relative to the file that they stand in"
            self._add(keys, f"`{dotted(keys)}`: {shown(source, PATH_LENGTH)} {reason}", neighbour(source) or hint)

    def _models(self) -> None:
        models = self.document.data.get("models")
        for role, section in models.items() if isinstance(models, dict) else ():
            for key, value in section.items() if isinstance(section, dict) else ():
                if isinstance(value, str) and value.startswith(HUB) and not _PINNED.fullmatch(value):
                    keys = ("models", role, key)
                    self._add(
                        keys, f"`{dotted(keys)}`: {shown(value, PATH_LENGTH)} is not pinned to a commit", _PIN_HINT
                    )

    def _unique_names(self, family: str, what: str) -> None:
        """Names become files, which not every file system tells apart by case."""
        first: dict[str, int] = {}
        for position, section in self._sections(family):
            name = section.get("name")
            if isinstance(name, str) and name.lower() in first:
                line = self.document.place((family, first[name.lower()], "name")).line
                where = f" (the first on line {line})" if line else ""
                keys: Keys = (family, position, "name")
                self._add(keys, f"`{dotted(keys)}`: two {what}s are called {shown(name)}{where}", "rename one of them")
            elif isinstance(name, str):
                first[name.lower()] = position

    def _probes(self) -> None:
        """What a probe refers to is there: a base model to compare with, an attack to forecast, a name of its own."""
        models = self.document.data.get("models")
        has_base = isinstance(models, dict) and models.get("base") is not None
        attacks, sampling = self._names("attacks"), self._prefix_attacks()
        for family in ("attacks", "probes"):
            self._capabilities(family)
        for position, section in self._sections("probes"):
            kind = section.get("kind")
            if not has_base and needs_base(kind):
                message = f"the probe {shown(str(kind))} compares the candidate with the model that it was trained from"
                self._add(("probes", position, "kind"), message, "declare models.base, or leave the probe out")
            self._names_one_of(("probes", position, "attack"), section.get("attack"), sampling, "attack of this policy")
            if isinstance(name := section.get("name"), str) and name in attacks:
                message = f"`probes.{position}.name`: an attack is called {shown(name)} as well"
                self._add(("probes", position, "name"), message, "rename one of them")

    def _prefix_attacks(self) -> list[str]:
        """Names and kinds of the attacks whose samples are matched with the data."""
        sections = [section for _, section in self._sections("attacks")]
        asking = [section for section in sections if is_probe(section.get("kind"))]
        hidden = {section.get(key) for section in asking for key in ("name", "kind")}
        return [name for name in self._names("attacks") if name not in hidden]

    def _capabilities(self, family: Literal["attacks", "probes"]) -> None:
        """A probe that needs more of the candidate than its backend can do breaks the run after hours, or here."""
        models = self.document.data.get("models")
        candidate = models.get("candidate") if isinstance(models, dict) else None
        backend = candidate.get("backend") if isinstance(candidate, dict) else None
        for position, section in self._sections(family):
            missing = lacking(family, section.get("kind"), backend)
            if missing:
                message = f"{section.get('kind')} needs {' and '.join(missing)}, which the backend {backend} has not"
                self._add((family, position, "kind"), message, "use backend: transformers, or leave it out")

    def _mitigated_arm(self) -> None:
        release = self.document.data.get("release")
        arm = release.get("arm") if isinstance(release, dict) else None
        sections = [section for _, section in self._sections("mitigations")]
        arms = ["baseline", *(name for section in named(sections) for name in arm_names(section))]
        if isinstance(arm, str) and arm not in arms:
            self._add(("release", "arm"), f"`release.arm`: no arm is called {shown(arm)}", _among(arm, arms))

    def _external_embedder(self) -> None:
        """Text of a dataset that must not leave the machine is not sent to an embedding service."""
        scoring = self.document.data.get("scoring")
        section = scoring.get("embedder") if isinstance(scoring, dict) else None
        if not (isinstance(section, dict) and sends_texts_away(section)):
            return
        for position, dataset in self._sections("datasets"):
            if dataset.get("external_processing", "forbid") != "allow":
                keys: Keys = ("datasets", position, "external_processing")
                message = f"the embedder {section.get('kind')} sends texts away, which {_named(dataset)} forbids"
                hint = "choose an embedder that runs here (kind: default), or set external_processing: allow"
                self._add(keys if keys in self.document.places else ("scoring", "embedder"), message, hint)

    def _rule(self, keys: Keys, rule: dict[str, Any]) -> None:
        metric, datasets = rule.get("metric"), self._names("datasets")
        probe = PROBE_OF.get(metric) if isinstance(metric, str) else None
        if probe is None:
            attacks = self._prefix_attacks()
            self._names_one_of((*keys, "attack"), rule.get("attack"), ["*", *attacks], "attack of this policy")
        else:
            self._probe_metric(keys, rule, probe)
        self._names_one_of((*keys, "dataset"), rule.get("dataset"), ["*", *datasets], "dataset of this policy")
        if not isinstance(metric, str):
            return
        if metric.startswith("adjusted_"):
            for section in self._meant(rule):
                if not section.get("controls"):
                    message = f"{metric} needs controls, and {_named(section)} has none"
                    self._add(
                        (*keys, "metric"), f"`{dotted(keys)}`: {message}", "give the dataset controls, or use coverage"
                    )
        if metric == "string_memorisation_rate" and self._scoring("string_sample") == 0:
            message = f"`{dotted(keys)}`: nothing produces {metric} while scoring.string_sample is 0"
            self._add((*keys, "metric"), message, "set scoring.string_sample, for example 500")

    def _probe_metric(self, keys: Keys, rule: dict[str, Any], kind: str) -> None:
        sections = [section for _, section in self._sections("probes") if section.get("kind") == kind]
        if not sections:
            message = f"`{dotted(keys)}`: nothing in this policy produces {rule['metric']}"
            self._add((*keys, "metric"), message, f"add the probe: - {{kind: {kind}}}")
            return
        everything = [section for family in ("attacks", "probes") for _, section in self._sections(family)]
        named = zip(default_names(everything), everything, strict=False)
        names = ["*", kind, *(name for name, section in named if section.get("kind") == kind)]
        self._names_one_of((*keys, "attack"), rule.get("attack"), names, "probe of this policy")

    def _meant(self, rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
        wanted = rule.get("dataset", "*")
        return (section for _, section in self._sections("datasets") if wanted in ("*", section.get("name")))

    def _names_one_of(self, keys: Keys, given: Any, known: list[str], what: str) -> None:
        if isinstance(given, str) and given not in known:
            message = f"`{dotted(keys)}`: {shown(given)} is no {what}, so nothing produces this rule's metric"
            self._add(keys, message, _among(given, known))

    def _names(self, family: str) -> list[str]:
        """What sections of this family are called: their names, and for plug-ins their kinds too."""
        sections = [section for _, section in self._sections(family)]
        found = [section.get(key) for key in ("name", "kind") for section in sections]
        return list(dict.fromkeys([*(name for name in found if isinstance(name, str)), *default_names(sections)]))

    def _sections(self, family: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The mappings of a list of the policy, with their positions; anything else is the schema's business."""
        listed = self.document.data.get(family)
        if isinstance(listed, list):
            yield from ((position, item) for position, item in enumerate(listed) if isinstance(item, dict))

    def _scoring(self, key: str) -> Any:
        scoring = self.document.data.get("scoring")
        return scoring.get(key) if isinstance(scoring, dict) else None

    def _calibrated(self) -> bool:
        threshold = self._scoring("semantic_threshold")
        return threshold is None or isinstance(threshold, dict)

    def _add(self, keys: Keys, message: str, hint: str = "") -> None:
        if keys not in self.document.broken:
            self.spoken_of.add(keys)
            place = self.document.place(keys)
            self.problems.append(Problem(place.file, place.line, message, hint))


def default_names(sections: list[dict[str, Any]]) -> list[str]:
    """A name for every plug-in section: its own, or its kind, numbered where that repeats."""
    taken = {section.get("name") for section in sections if isinstance(section.get("name"), str)}
    names = []
    for section in sections:
        name = section.get("name")
        kind = section.get("kind")
        if not isinstance(name, str) and isinstance(kind, str):
            name = next(free for free in _numbered(kind) if free not in taken)
            taken.add(name)
        if isinstance(name, str):
            names.append(name)
    return names


def named(sections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sections that say what they are, each with the name that it will go by."""
    known = [section for section in sections if isinstance(section.get("kind"), str)]
    return [{**section, "name": name} for section, name in zip(known, default_names(known), strict=True)]


def _numbered(kind: str) -> Iterator[str]:
    yield kind
    number = 2
    while True:
        yield f"{kind}-{number}"
        number += 1


def _named(section: dict[str, Any]) -> str:
    name = section.get("name")
    return f"dataset {shown(name)}" if isinstance(name, str) else "this dataset"


def _among(given: str, known: list[str]) -> str:
    hint = did_you_mean(given, known)
    return hint if hint.startswith("one of") else f"{hint} ({one_of(known)})"
