"""Sampling by a cluster's workers, each of which holds the model: the driver never loads the weights for it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

from auditkit.attacks.base import Attack
from auditkit.auditing.context import Context
from auditkit.auditing.elsewhere import files_of, missing_here
from auditkit.engines.base import Cluster, Work
from auditkit.errors import ModelError, RunError
from auditkit.files import write_bytes
from auditkit.models.base import LanguageModel, ModelBackend
from auditkit.records import Generation, Prefix, SamplingRequest, TurnFormat

SAME_PLACE = (
    "put the same files in the same place on every node (a shared file system, also for --out where an arm trains "
    "weights), or set engine.generate: driver; then go on with --resume"
)


@dataclass(frozen=True)
class _ModelWork(Work):
    """Whatever is asked of the open model. ``sha256``: of the weights that the run is of; ``files``: where they are."""

    backend: ModelBackend
    sha256: str
    files: tuple[str, ...]

    def model(self) -> LanguageModel:
        """The model, opened in this worker.

        Raises:
            RunError: it is not here, or it is another one.
        """
        if missing := missing_here(self.files):
            raise RunError(f"the node {platform.node()} cannot read {missing[0]}", SAME_PLACE)
        self.backend.fetch()
        opened = self.backend.open("candidate")
        if opened.identity.sha256 != self.sha256:
            opened.close()
            raise RunError(f"the node {platform.node()} has another model at {opened.identity.source}", SAME_PLACE)
        return opened


@dataclass(frozen=True)
class _Prefixes(_ModelWork):
    """Units are attacks; what comes of each are its prefixes."""

    def opened(self) -> Callable[[Attack], list[Prefix]]:
        model = self.model()
        return lambda attack: attack.prefixes(model)

    def told(self, unit: Attack) -> str:
        return f"the prefixes of the attack {unit.label}"


@dataclass(frozen=True)
class _Sampling(_ModelWork):
    """Units are an attack's requests."""

    attack: Attack

    def opened(self) -> Callable[[SamplingRequest], list[Generation]]:
        return partial(self.attack.run, self.model())

    def told(self, unit: SamplingRequest) -> str:
        first = unit.first_ordinal
        return f"the generations {first:,} to {first + unit.count - 1:,} of the attack {unit.attack}"


class SamplesElsewhere:
    """As ``SamplesHere``, by workers; in whatever order they are done."""

    def __init__(self, context: Context, backend: ModelBackend, attacks: Sequence[Attack], workers: Cluster) -> None:
        self._context, self._workers, self._attacks = context, workers, attacks
        self._backend = backend

    def prefixes(self, attack: Attack) -> list[Prefix]:
        """The literal prefixes of an attack on this model; those of all attacks are asked for at once, and kept."""
        if not self._path(attack).exists():
            asked = [one for one in self._attacks if not self._path(one).exists()]
            for position, found in self._workers.map("generate", _Prefixes(*self._weights), asked):
                write_bytes(self._path(asked[position]), json.dumps([asdict(prefix) for prefix in found]).encode())
        return [_prefix(told) for told in json.loads(self._path(attack).read_bytes())]

    def drawn(self, attack: Attack, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Generation]]]:
        """(position of the request, its samples), each once."""
        yield from self._workers.map("generate", _Sampling(*self._weights, attack), requests)

    @cached_property
    def _weights(self) -> tuple[ModelBackend, str, tuple[str, ...]]:
        """What every work is of; nothing is loaded for it here, and large files are read once."""
        return self._backend, _sha256(self._context, self._backend), files_of(self._backend)

    def _path(self, attack: Attack) -> Path:
        return self._context.run.work / f"prefixes-{attack.label}.json"


def _sha256(context: Context, backend: ModelBackend) -> str:
    """Of the weights that stand in the driver's files; the candidate's own were read when the run began.

    Raises:
        ModelError: they are not there.
    """
    if not context.run.arm:
        return next(model.sha256 for model in context.state.models if model.role == "candidate")
    identity = backend.preflight("candidate").identity
    if identity is None:
        raise ModelError("the candidate model is not on this machine", "fetch it first: auditkit check POLICY")
    return identity.sha256


def _prefix(told: dict[str, object]) -> Prefix:
    turns = told["turns"]
    format_ = TurnFormat(**turns) if isinstance(turns, dict) else None
    ids = told["token_ids"]
    assert isinstance(ids, list)
    return Prefix(str(told["name"]), str(told["text"]), tuple(ids), str(told["note"]), format_)
