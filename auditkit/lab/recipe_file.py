"""Reads a recipe: the text as YAML, every problem with its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from auditkit.errors import AuditkitError, PolicyError, Problem, ProblemsError
from auditkit.files import read_plain
from auditkit.lab.recipe import Recipe
from auditkit.policy.yaml_source import MAX_BYTES, Document, Keys, dotted, read_document
from auditkit.resources import resource_folder


class RecipeError(ProblemsError):
    """The recipe is wrong; nothing was built."""


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with the text that it was read from."""

    recipe: Recipe
    text: str
    file: Path

    @property
    def sha256(self) -> str:
        """Of the file's bytes, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def path(self, named: str) -> Path:
        """A path in the recipe, which is relative to the recipe's file."""
        return self.file.parent / Path(named).expanduser()


def load_recipe(recipe: str) -> LoadedRecipe:
    """The recipe in a file, or the shipped one of this name.

    Raises:
        RecipeError: every problem at once, with its line.
        AuditkitError: no such file, and no recipe of this name.
    """
    file = _found(recipe)
    try:
        raw = read_plain(file, MAX_BYTES)
    except OSError as error:
        raise AuditkitError(f"{file}: cannot be read: {error.strerror}", "give the recipe's file") from None
    try:
        document = read_document(raw, file)
    except PolicyError as error:
        raise RecipeError([_of_a_recipe(problem) for problem in error.problems]) from None
    if "kind" in document.data:
        what = f"{file} is no family's recipe, but of kind {document.data['kind']}"
        raise AuditkitError(what, "auditkit lab build builds families; auditkit lab --help lists what else there is")
    problems = [_of_a_recipe(problem) for problem in document.problems]
    try:
        found = Recipe.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        raise RecipeError([*problems, *_problems(error, document)]) from None
    if problems:
        raise RecipeError(problems)
    return LoadedRecipe(found, raw.decode("utf-8-sig"), file)


def shipped_recipes() -> list[str]:
    """Names of the families' recipes that come with auditkit."""
    files = resource_folder("recipes").glob("*.yaml")
    return sorted(path.stem for path in files if "\nstages:" in path.read_text("utf-8"))


def _found(recipe: str) -> Path:
    if (file := Path(recipe)).is_file():
        return file
    shipped = resource_folder("recipes") / f"{recipe}.yaml"
    if "/" not in recipe and shipped.is_file():
        return shipped
    raise AuditkitError(f"no recipe {recipe}", f"give a file, or one of: {', '.join(shipped_recipes())}")


def _of_a_recipe(problem: Problem) -> Problem:
    """The reader of policies speaks of policies."""
    return Problem(problem.file, problem.line, problem.message.replace("policy", "recipe"), problem.hint)


def _problems(error: ValidationError, document: Document) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        keys = _keys(detail["loc"], document)
        place = document.place(keys)
        missing = detail["type"] == "missing"
        name = dotted((*keys, detail["loc"][-1]) if missing else keys) or "the recipe"
        unknown = detail["type"] == "extra_forbidden"
        message = "unknown key" if unknown else detail["msg"].removeprefix("Value error, ")
        yield Problem(place.file, place.line, f"`{name}`: {message}")


def _keys(location: tuple[str | int, ...], document: Document) -> Keys:
    """A location without what pydantic adds of its own: names of union branches, ``[key]``."""
    keys: Keys = ()
    for part in location:
        if (*keys, part) in document.places:
            keys = (*keys, part)
    return keys
