"""Finding and loading the tasks of lm-evaluation-harness: the harness' own and the user's, quietly, from this machine.

What the harness offers no other way to do is done by holding a name to another value for a while: its progress bars
have no switch, and its libraries read theirs when they are imported.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.policy.suggestions import did_you_mean

_TALKATIVE = ("lm_eval", "datasets", "evaluate", "huggingface_hub", "absl", "nltk")
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
_DATA_KEYS = ("data_files", "data_dir")

Tasks = dict[str, Any]  # task -> what the harness made of it


@contextmanager
def harness(seed: int) -> Iterator[Any]:
    """The ``lm_eval.evaluator`` module; inside, it is silent, without a network and seeded.

    Raises:
        MissingExtraError: it is not installed.
    """
    with ExitStack() as held:
        for name in _OFFLINE:
            held.enter_context(_variable(name, "1"))
        try:
            evaluator = import_module("lm_eval.evaluator")
            hub, config = import_module("huggingface_hub.constants"), import_module("datasets.config")
        except ImportError as error:
            raise MissingExtraError("lm-evaluation-harness", "lm-eval") from error
        for place in (hub, config):
            held.enter_context(_attribute(place, "HF_HUB_OFFLINE", True))
        for module in ("lm_eval.api.task", "lm_eval.api.model"):
            held.enter_context(_attribute(import_module(module), "tqdm", _without_bar))
        for name in _TALKATIVE:
            held.enter_context(_level(name))
        import_module("datasets").disable_progress_bars()
        held.enter_context(_seeded(seed))
        yield evaluator


@contextmanager
def loaded_tasks(names: Sequence[str], include: Path | None, scratch: Path) -> Iterator[dict[str, Tasks]]:
    """Each name's tasks with their data: one, or those of a group or tag. Within ``harness`` only.

    Args:
        names: as the harness knows them, or the user's own task files name them.
        include: folder of the user's own task files, which go before the harness' of the same name. Like any task
            file, they may run Python that lies beside them.
        scratch: where the user's own data are kept in the form that the harness reads.

    Raises:
        AuditkitError: a name that nobody knows, or data or a library that are not on this machine.
    """
    if include is not None and not include.is_dir():
        raise AuditkitError(f"{include} is no folder of task files", "mend utility.lm_eval.include in the policy")
    manager = _manager(tuple(names), include)
    index = manager.task_index
    for name in names:
        if name not in index:
            raise AuditkitError(f"lm-evaluation-harness knows no task {name!r}", did_you_mean(name, manager.all_tasks))
    own = {} if include is None else dict(_own_data(index, names, include, scratch))
    before = {name: index[name] for name in own}
    index.update(own)
    try:
        yield {name: _loaded(manager, name) for name in names}
    finally:
        index.update(before)


def _manager(names: tuple[str, ...], include: Path | None) -> Any:
    """The index of task files; the harness' own thousands take half a minute to read, and only where they are named."""
    if include is not None:
        own = _index(include, False)
        if all(leaf in own.task_index for name in names for leaf in _leaves(own.task_index, name)):
            return own
    return _all_tasks(include)


@cache
def _all_tasks(include: Path | None) -> Any:
    return _index(include, True)


def _index(include: Path | None, defaults: bool) -> Any:
    return import_module("lm_eval.tasks").TaskManager(include_path=include, include_defaults=defaults)


def _loaded(manager: Any, name: str) -> Tasks:
    try:
        tasks: Tasks = manager.load([name])["tasks"]
    except Exception as error:  # task files hold anybody's code, and load data by it
        raise _refusal(name, error, manager.include_path) from error
    return tasks


def _refusal(name: str, error: Exception, include: Path | None) -> AuditkitError:
    said = first_line(error)
    if isinstance(error, ImportError):
        return AuditkitError(f"the task {name!r} needs a library that is not installed: {said}", "pip install it")
    if isinstance(error, OSError) or "cache" in said:
        beside = f" --include_path {include}" if include else ""
        return AuditkitError(
            f"the data of the task {name!r} are not on this machine: {said}",
            f"fetch them first, where there is a network: lm_eval --model dummy --tasks {name} --limit 1{beside}",
        )
    return AuditkitError(
        f"the task {name!r} cannot be loaded: {type(error).__name__}: {said}", "mend its file, or leave it out"
    )


def first_line(error: Exception) -> str:
    """What an error says, in one line of bounded length."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _own_data(
    index: Mapping[str, Any], names: Sequence[str], include: Path, scratch: Path
) -> Iterator[tuple[str, Any]]:
    """The user's own tasks with data beside the task file: those files found, and nothing of them left in a cache."""
    for entry in dict.fromkeys(name for given in names for name in _leaves(index, given) if name in index):
        known = index[entry]
        kwargs = (known.cfg or {}).get("dataset_kwargs") or {}
        path = known.yaml_path
        if path is None or not path.is_relative_to(include) or not any(key in kwargs for key in _DATA_KEYS):
            continue
        try:
            config = import_module("lm_eval.tasks._yaml_loader").load_yaml(path, resolve_func=True)
        except Exception as error:  # it runs the Python beside the file
            raise _refusal(entry, error, include) from error
        found = {key: _beside(kwargs[key], path.parent) for key in _DATA_KEYS if key in kwargs}
        config["dataset_kwargs"] = {**kwargs, **found, "cache_dir": str(scratch)}
        yield entry, replace(known, yaml_path=None, cfg=config)


def _leaves(index: Mapping[str, Any], name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The tasks that a name stands for, by their names; a name that the index does not hold stands for itself."""
    entry = index.get(name)
    if entry is None or entry.kind.name not in ("TAG", "GROUP"):
        yield name
        return
    members = sorted(entry.tags) if entry.kind.name == "TAG" else entry.cfg.get("task") or []
    for member in [members] if isinstance(members, str) else members:
        called = member.get("task") or member.get("group") if isinstance(member, dict) else member
        if isinstance(called, str) and called not in above:
            yield from _leaves(index, called, (*above, name))


def _beside(declared: Any, folder: Path) -> Any:
    """A path that leads somewhere from the task file is meant so; else it is left to the harness: an address, say."""
    if isinstance(declared, dict):
        return {split: _beside(path, folder) for split, path in declared.items()}
    if isinstance(declared, list):
        return [_beside(path, folder) for path in declared]
    path = folder / str(declared)
    matches = path.exists() or any(folder.glob(str(declared)) if not Path(str(declared)).is_absolute() else ())
    return str(path) if matches else declared


def _without_bar(iterable: Any = (), *_: Any, **__: Any) -> Any:
    return iterable


@contextmanager
def _attribute(place: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _level(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Tasks shuffle with the generators that everybody shares: those are given back as they were."""
    before, numbers = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)
