"""Builds a model family whose training data is known to the record: ``auditkit lab build``.

Every stage is trained from the files of the one before, so that a build that was interrupted and resumed ends with the
same weights as one that was not. A stage whose model folder is there is not trained again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auditkit import __version__
from auditkit.errors import AuditkitError
from auditkit.files import appearing, make_folder, storage_errors, write_bytes
from auditkit.lab.datasets import Corpus, make_corpora, spare_texts
from auditkit.lab.drawn_from import drawn_from
from auditkit.lab.family_policy import family_policy, policy_fields
from auditkit.lab.recipe_file import LoadedRecipe
from auditkit.lab.recipe_sections import Dataset, Stage
from auditkit.lab.stages import StageDone, StageWork, json_line, train_stage
from auditkit.lab.starting import open_checkpoint
from auditkit.training.fresh import Shape, fresh_model, fresh_tokenizer
from auditkit.training.libraries import training_libraries

Progress = Callable[[str, int, int], None]  # what is done, steps done, steps in all (0 where there are no steps)
FAMILY, MARKER = "family.json", "recipe.yaml"
DATA = "\n# sha256 of what it was begun with\n"


@dataclass(frozen=True)
class _Build:
    loaded: LoadedRecipe
    out: Path
    seed: int
    corpora: Mapping[str, Corpus]
    progress: Progress

    def model(self, name: str) -> Path:
        return self.out / "models" / name

    def facts(self, name: str) -> Path:
        return self.out / "stages" / f"{name}.json"


def build(loaded: LoadedRecipe, out: Path, seed: int = 0, progress: Progress = lambda *_: None) -> Path:
    """Build the family, or go on with one that was begun; the path of its ``family.json``.

    Args:
        loaded: the recipe.
        out: a new folder, or one where this recipe with this seed was begun.
        seed: of data, weights and order.
        progress: told of every step.

    Raises:
        AuditkitError: the folder holds something else, or was begun with other data; the data or the model does not
            fit.
        MissingExtraError: a training library is missing.
        RunError: the folder cannot be written to.
    """
    training_libraries()  # a missing one is told before anything is written
    heading = f"# built with: auditkit lab build --seed {seed}\n{loaded.text}"
    _check_free(out, heading)
    if not (out / FAMILY).exists():
        progress("data", 0, 0)
    corpora = make_corpora(loaded, seed)
    _claim(out, heading, drawn_from(loaded, corpora))
    if (out / FAMILY).exists():
        return out / FAMILY
    work = _Build(loaded, out, seed, corpora, progress)
    _write_data(work)
    previous = _start(work)
    for stage in loaded.recipe.stages:
        previous = _stage(work, stage, previous)
    ledgers = [(out / "stages" / f"{stage.name}.jsonl").read_text("utf-8") for stage in loaded.recipe.stages]
    write_bytes(out / "data" / "ledger.jsonl", "".join(ledgers).encode())
    write_bytes(out / "policy.yaml", family_policy(loaded.recipe, f"models/{previous.name}", _base(work)).encode())
    return write_bytes(out / FAMILY, json.dumps(_family(work, previous), indent=1).encode())


def rebuild(
    loaded: LoadedRecipe,
    family: Path,
    out: Path,
    seed: int,
    *,
    without: Mapping[str, Collection[int]],
    progress: Progress = lambda *_: None,
) -> Path:
    """The family's last model, trained again without some records; what was finished is not trained again.

    Stages before the first that reads a dataset of ``without`` (rows by dataset) are the family's own. Data, order and
    weights come from the same seed.

    Raises:
        AuditkitError: no stage reads such a dataset, or as for a build.
    """
    training_libraries()
    for folder in (out, out / "models", out / "stages"):
        make_folder(folder)
    corpora = {name: _left(corpus, without.get(name, ())) for name, corpus in make_corpora(loaded, seed).items()}
    work = _Build(loaded, out, seed, corpora, progress)
    stages = loaded.recipe.stages
    first = next((place for place, stage in enumerate(stages) if set(stage.datasets) & set(without)), None)
    if first is None:
        raise AuditkitError(f"no stage reads {', '.join(without)}", "name a dataset that is trained on")
    previous = family / "models" / stages[first - 1].name if first else _start(work)
    for stage in stages[first:]:
        previous = _stage(work, stage, previous)
    return previous


def _left(corpus: Corpus, gone: Collection[int]) -> Corpus:
    return replace(corpus, members=tuple(one for row, one in enumerate(corpus.members) if row not in gone))


def _check_free(out: Path, heading: str) -> None:
    """See that the folder is this recipe's own, or nobody's.

    Raises:
        AuditkitError: it belongs to another recipe or seed, or to nobody that we know.
    """
    if (out / MARKER).is_file():
        if (out / MARKER).read_text("utf-8").partition(DATA)[0] != heading:
            raise AuditkitError(f"{out} was built from another recipe or seed", "choose another folder with --out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuditkitError(f"{out} is there already, and is no family of this recipe", "choose another --out")


def _claim(out: Path, heading: str, digests: Mapping[str, str]) -> None:
    """Make the folder this recipe's own, or see that it was begun with the same data: its stages have learnt them.

    Raises:
        AuditkitError: a dataset, or the checkpoint that the first stage starts from, is not what it was.
    """
    marker = heading + DATA + "".join(f"# {name}: {digest}\n" for name, digest in digests.items())
    if (out / MARKER).is_file():
        if (out / MARKER).read_text("utf-8") != marker:
            what = f"{out}: the data of this recipe changed since the build began"
            raise AuditkitError(what, "choose a new --out, or put the data back that it began with")
        return
    for folder in (out, out / "data", out / "models", out / "stages"):
        make_folder(folder)
    write_bytes(out / MARKER, marker.encode())


def _write_data(work: _Build) -> None:
    for name, corpus in work.corpora.items():
        _write_lines(work.out / "data" / f"{name}.jsonl", corpus.rows())
        if corpus.controls:
            _write_lines(work.out / "data" / f"{name}-controls.jsonl", corpus.controls)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_bytes(path, "".join(json_line(row) + "\n" for row in rows).encode())


def _start(work: _Build) -> Path:
    """The folder of the model that the first stage begins with: random weights, or the checkpoint's."""
    folder = work.model("start" if work.loaded.recipe.start.fresh else "base")
    if folder.is_dir():
        return folder
    work.progress("start", 0, 0)
    model, tokenizer = _fresh(work) if work.loaded.recipe.start.fresh else _checkpoint(work)
    with appearing(folder) as temporary:
        _save(model, tokenizer, temporary)
    return folder


def _fresh(work: _Build) -> tuple[Any, Any]:
    shape = work.loaded.recipe.start.fresh
    assert shape is not None
    plain = [m.fields["text"] for dataset in work.loaded.recipe.plain for m in work.corpora[dataset.name].members]
    texts = plain + spare_texts(work.loaded, work.seed, dict(work.corpora))
    tokenizer = fresh_tokenizer(texts, shape.vocabulary, shape.context)
    sizes = Shape(shape.hidden, shape.layers, shape.heads, shape.context)
    return fresh_model(tokenizer, sizes, work.seed), tokenizer


def _checkpoint(work: _Build) -> tuple[Any, Any]:
    return open_checkpoint(work.loaded.path(str(work.loaded.recipe.start.checkpoint)))


def _stage(work: _Build, stage: Stage, previous: Path) -> Path:
    """The folder of a stage's model, trained unless it is there."""
    folder = work.model(stage.name)
    if folder.is_dir():
        return folder
    work.progress(stage.name, 0, 0)
    model, tokenizer = open_checkpoint(previous)
    on_step = lambda done, total: work.progress(stage.name, done, total)  # noqa: E731
    done = train_stage(model, tokenizer, stage, StageWork(work.loaded.recipe, work.corpora, work.seed, on_step))
    with appearing(folder) as temporary:
        _save(done.model, tokenizer, temporary)
        _write_lines(work.out / "stages" / f"{stage.name}.jsonl", done.ledger)
        write_bytes(work.facts(stage.name), json.dumps(_facts(stage, done), indent=1).encode())
    return folder


def _facts(stage: Stage, done: StageDone) -> dict[str, Any]:
    return {
        "name": stage.name,
        "kind": stage.kind,
        "model": f"models/{stage.name}",
        "datasets": list(stage.datasets),
        "rows": done.rows,
        "steps": done.trained.steps,
        "tokens": done.trained.tokens,
        "seconds": round(done.trained.seconds, 2),
        "loss": done.trained.loss,
        "figures": done.trained.figures,
    }


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    with storage_errors(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _base(work: _Build) -> str:
    """The model that post-training began with."""
    pretrained = [stage.name for stage in work.loaded.recipe.stages if stage.kind == "pretrain"]
    return f"models/{pretrained[-1] if pretrained else 'base'}"


def _family(work: _Build, last: Path) -> dict[str, Any]:
    recipe = work.loaded.recipe
    return {
        "version": 1,
        "name": recipe.name,
        "auditkit": __version__,
        "recipe": work.loaded.text,
        "recipe_sha256": work.loaded.sha256,
        "seed": work.seed,
        "base": _base(work),
        "candidate": f"models/{last.name}",
        "policy": "policy.yaml",
        "stages": [json.loads(work.facts(stage.name).read_text("utf-8")) for stage in recipe.stages],
        "datasets": [_described(dataset, stage) for dataset, stage in recipe.audited],
        "plain": [{"name": dataset.name, "path": f"data/{dataset.name}.jsonl"} for dataset in recipe.plain],
    }


def _described(dataset: Dataset, stage: Stage) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "stage": stage.name,
        "path": f"data/{dataset.name}.jsonl",
        "controls": f"data/{dataset.name}-controls.jsonl" if dataset.controls else None,
        "fields": policy_fields(dataset, stage),
    }
