"""What somebody probably meant: the names that are known at a place, and the nearest one to what was written."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from auditkit.policy.schema import Policy
from auditkit.policy.yaml_source import Keys
from auditkit.registry import DISCRIMINATOR, PluginOf, kinds, plugin_class

MANY = 12


def nearest(word: str, known: Collection[str]) -> str | None:
    """The known name that is most like ``word``, if any is like it at all."""
    lowered = {name.lower(): name for name in known}
    found = get_close_matches(word[:200].lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A hint: the nearest name where there is one, else all of them."""
    found = nearest(word, known)
    if found is not None:
        return f"did you mean {found!r}?"
    return one_of(known)


def one_of(known: Collection[str]) -> str:
    """A hint that lists what is known, shortened where that is long."""
    if not known:
        return ""
    listed = ", ".join(list(known)[:MANY])
    return f"one of: {listed}{', ...' if len(known) > MANY else ''}"


def known_keys(keys: Keys, data: Any) -> list[str]:
    """The keys that the section at this place takes; empty where that cannot be said."""
    section = section_class(keys, data)
    return list(section.model_fields) if section else []


def section_class(keys: Keys, data: Any) -> type[BaseModel] | None:
    """The class behind the mapping at this place: a section of the policy, or the plug-in that its kind picks."""
    section: type[BaseModel] | None = Policy
    annotation: Any = Policy
    value = data
    for key in keys:
        value = _step(value, key)
        if isinstance(key, int):
            annotation = _item(annotation)
        elif section is not None and key in section.model_fields:
            declared = section.model_fields[key]
            annotation = Annotated[(declared.annotation, None, *declared.metadata)]
        else:
            return None
        section = next(iter(_classes(annotation, value)), None)
    return section


def _step(value: Any, key: str | int) -> Any:
    if isinstance(value, list) and isinstance(key, int):
        return value[key] if key < len(value) else None
    return value.get(key) if isinstance(value, dict) else None


def _item(annotation: Any) -> Any:
    """What a list holds."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return next(iter(get_args(annotation)), None)


def _classes(annotation: Any, value: Any) -> Iterable[type[BaseModel]]:
    """The section classes that this annotation allows for this value, through Annotated, unions and plug-ins."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        family = next((item.family for item in metadata if isinstance(item, PluginOf)), None)
        if family is None:
            yield from _classes(inner, value)
            return
        kind = value.get(DISCRIMINATOR[family]) if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in kinds(family):
            yield plugin_class(family, kind)
    elif get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _classes(choice, value)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
