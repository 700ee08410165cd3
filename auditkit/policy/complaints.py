"""From what pydantic says of a policy to what a release engineer can act on: place, plain words, nearest name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from auditkit.errors import Problem
from auditkit.policy.suggestions import did_you_mean, known_keys, one_of, section_class
from auditkit.policy.yaml_source import Document, Keys, dotted, shown
from auditkit.registry import BUILT_IN, plugin_class

_EMPTY_GATE = "an audit without a rule has no verdict; for example - {metric: adjusted_coverage, max: 0.01}"
_ENVIRONMENT = (
    "put the secret into the environment and its name here, as env:NAME; change a secret that stood in a file"
)
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "left out",
    "path_type": "a path",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least", "items"),
    "too_long": ("max_length", "at most", "items"),
    "string_too_short": ("min_length", "at least", "characters"),
    "string_too_long": ("max_length", "at most", "characters"),
}
_KINDS_OF_VALUE = ((bool, "true or false"), (str, "text"), (int, "a number"), (float, "a number"), (list, "a list"))
_SECRET_KEYS = ("key", "secret", "token", "password", "sign")


@dataclass(frozen=True)
class _Complaint:
    """One error of pydantic's at the place in the data that it speaks of."""

    keys: Keys
    error: ErrorDetails
    branches: Keys  # the place of a union of which this error's branch is one; () where there is none
    value: Any

    @property
    def name(self) -> str:
        return f"`{dotted(self.keys)}`" if self.keys else "the policy"

    @property
    def context(self) -> dict[str, Any]:
        return self.error.get("ctx", {})


def complaints(error: ValidationError, document: Document, spoken_of: Collection[Keys] = ()) -> Iterator[Problem]:
    """Every problem with its line. What was said already, by the YAML reader or a check, is left out."""
    found = [_locate(detail, document.data) for detail in error.errors(include_url=False)]
    for complaint in _of_the_branch_meant(found):
        repeated = complaint.error["type"] == "value_error" and complaint.keys in spoken_of
        if complaint.keys not in document.broken and not repeated:
            yield _problem(complaint, document)


def _locate(error: ErrorDetails, data: Any) -> _Complaint:
    """Follow pydantic's location through the data; parts of it that are no keys name a branch of a union."""
    keys: Keys = ()
    branches: Keys = ()
    value = data
    parts = error["loc"]
    for position, part in enumerate(parts):
        inside = _inside(value, part)
        if inside:
            keys, value = (*keys, part), value[part]
        elif error["type"] == "missing" and position == len(parts) - 1:
            keys, value = (*keys, part), None
        else:
            branches = keys
    return _Complaint(keys, error, branches, value)


def _inside(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _of_the_branch_meant(found: list[_Complaint]) -> Iterator[_Complaint]:
    """Of a union's branches, the one that was meant: the section where a mapping was given, else the plain value."""
    unions: dict[Keys, list[_Complaint]] = {}
    for complaint in found:
        if complaint.branches:
            unions.setdefault(complaint.branches, []).append(complaint)
    for complaint in found:
        siblings = unions.get(complaint.branches, [])
        if not siblings:
            yield complaint
        elif complaint is siblings[0]:
            deeper = [other for other in siblings if other.keys != other.branches]
            plain = next((other for other in siblings if other.error["type"] == "literal_error"), siblings[0])
            yield from deeper or [plain]


def _problem(complaint: _Complaint, document: Document) -> Problem:
    missing = complaint.error["type"] == "missing"
    place = document.place(complaint.keys[:-1] if missing else complaint.keys)
    message, hint = _words(complaint, document.data)
    return Problem(place.file, place.line, message, hint)


def _words(complaint: _Complaint, data: Any) -> tuple[str, str]:
    """Message and hint for one complaint."""
    return _PHRASES.get(complaint.error["type"], _other)(complaint, data)


def _missing(complaint: _Complaint, data: Any) -> tuple[str, str]:
    return f"{_parent(complaint.keys)} lacks {shown(complaint.keys[-1])}", _description(complaint.keys, data)


def _parent(keys: Keys) -> str:
    return f"`{dotted(keys[:-1])}`" if keys[:-1] else "the policy"


def _unknown_key(complaint: _Complaint, data: Any) -> tuple[str, str]:
    keys = complaint.keys
    key = str(keys[-1])
    hint = _of_another_backend(keys, key) or did_you_mean(key, known_keys(keys[:-1], data))
    return f"`{dotted(keys)}`: unknown key {shown(key)}", hint


def _of_another_backend(keys: Keys, key: str) -> str:
    """A hint where a model's key is one of other backends."""
    if len(keys) != 3 or keys[0] != "models":
        return ""
    takers = [kind for kind in BUILT_IN["models"] if key in plugin_class("models", kind).model_fields]
    return f"it is a key of backend: {' or '.join(takers)}" if takers else ""


def _unknown_kind(complaint: _Complaint, _data: Any) -> tuple[str, str]:
    name, key, known = dotted(complaint.keys), complaint.context["key"], complaint.context.get("known", [])
    if not isinstance(complaint.value, dict):
        return f"`{name}` should be a mapping with a {key}, and is {_echo(complaint)}", f"for example {{{key}: ...}}"
    given = complaint.value.get(key)
    if given is None:
        return f"`{name}` lacks {key!r}", one_of(known)
    if not isinstance(given, str):
        return f"`{name}.{key}` should be text, and is {shown(given)}", one_of(known)
    return f"`{name}`: unknown {key} {shown(given)}", f"{did_you_mean(given, known)} (auditkit plugins lists them)"


def _broken_plugin(complaint: _Complaint, _data: Any) -> tuple[str, str]:
    hint = "install the package that it comes from again; auditkit plugins says why"
    return f"{complaint.name}: {complaint.error['msg']}", hint


def _not_among(complaint: _Complaint, data: Any) -> tuple[str, str]:
    name, expected = dotted(complaint.keys), str(complaint.context["expected"])
    names = [part.strip("'") for part in expected.replace(" or ", ", ").split(", ")]
    section = section_class(complaint.keys, data) if complaint.branches else None
    also = f", or a mapping with {', '.join(section.model_fields)}" if section else ""
    hint = did_you_mean(complaint.value, names) if isinstance(complaint.value, str) else ""
    return f"`{name}` should be {expected}{also}, and is {_echo(complaint)}", hint if "did you" in hint else ""


def _wrong_form(complaint: _Complaint, _data: Any) -> tuple[str, str]:
    if str(complaint.context["pattern"]).startswith("^env:"):
        return f"{complaint.name} should name an environment variable, as env:NAME, and does not", _ENVIRONMENT
    if str(complaint.context["pattern"]).startswith("^["):
        return f"{complaint.name} may hold letters, digits, '.', '_' and '-', and is {_echo(complaint)}", ""
    if str(complaint.context["pattern"]).startswith("^https?:"):
        return f"{complaint.name} should be an address such as https://tsa.example.com, and is {_echo(complaint)}", ""
    return f"{complaint.name} should have the form {complaint.context['pattern']}, and is {_echo(complaint)}", ""


def _out_of_bounds(complaint: _Complaint, _data: Any) -> tuple[str, str]:
    key, words = _BOUNDS[complaint.error["type"]]
    return f"{complaint.name} should be {words} {complaint.context[key]:g}, and is {_echo(complaint)}", ""


def _wrong_type(complaint: _Complaint, data: Any) -> tuple[str, str]:
    said = f"{complaint.name} should be {_alternatives(complaint, data)}, and is {_echo(complaint)}"
    if complaint.keys == ("gate",):
        return said, _EMPTY_GATE
    if complaint.error["type"] == "string_type" and isinstance(complaint.value, bool | int | float):
        return said, "put it in quotes"
    return said, _number_hint(complaint)


def _alternatives(complaint: _Complaint, data: Any) -> str:
    """What this place takes, the mapping of a union included."""
    wanted = _TYPES[complaint.error["type"]]
    section = section_class(complaint.keys, data)
    if section is None:
        return wanted
    mapping = f"a mapping with {', '.join(section.model_fields)}"
    return f"{wanted} or {mapping}" if complaint.branches and wanted != "a mapping" else mapping


def _number_hint(complaint: _Complaint) -> str:
    """The number that a text or a float was meant to be, where that is plain."""
    value = complaint.value
    if not complaint.error["type"].startswith(("int", "float")) or isinstance(value, bool):
        return ""
    try:
        number = float(value.replace("_", "").replace(",", "")) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return ""
    return f"write {number:.15g}, without quotes or separators" if number.is_integer() or isinstance(value, str) else ""


def _other(complaint: _Complaint, _data: Any) -> tuple[str, str]:
    """What is left: lengths, and what the validators of a section say."""
    kind, context = complaint.error["type"], complaint.context
    hint = _EMPTY_GATE if complaint.keys == ("gate",) else ""
    if kind == "too_short" and context.get("min_length") == 1:
        return f"{complaint.name} should not be empty", hint
    if kind in _LENGTHS:
        key, words, things = _LENGTHS[kind]
        return f"{complaint.name} should have {words} {context[key]} {things}", hint
    said = str(context.get("error", complaint.error["msg"])) if kind == "value_error" else complaint.error["msg"]
    return f"{complaint.name}: {said.removeprefix('Input ')}", hint


def _echo(complaint: _Complaint) -> str:
    """The value as given, unless it might be a secret or is no scalar."""
    value = complaint.value
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    words = next(words for kind, words in _KINDS_OF_VALUE if isinstance(value, kind))
    last = str(complaint.keys[-1]).lower() if complaint.keys else ""
    if isinstance(value, list) or last.endswith(_SECRET_KEYS) or "PRIVATE" in str(value):
        return words
    return f"the text {shown(value)}" if isinstance(value, str) else shown(value).lower()


def _description(keys: Keys, data: Any) -> str:
    """What the schema says of this key."""
    section = section_class(keys[:-1], data)
    declared = section.model_fields.get(str(keys[-1])) if section and keys else None
    return declared.description or "" if declared else ""


_Phrase = Callable[[_Complaint, Any], tuple[str, str]]
_PHRASES: dict[str, _Phrase] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "plugin_kind": _unknown_kind,
    "plugin_type": _unknown_kind,
    "plugin_broken": _broken_plugin,
    "literal_error": _not_among,
    "string_pattern_mismatch": _wrong_form,
    **dict.fromkeys(_BOUNDS, _out_of_bounds),
    **dict.fromkeys(_TYPES, _wrong_type),
}
