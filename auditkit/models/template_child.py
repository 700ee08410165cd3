"""Renders a chat template inside the sandbox, exactly as transformers' ``apply_chat_template`` would.

Imported by nothing: ``sandbox_child.py`` loads it by path. Only jinja2 and the standard library are there.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.runtime
import jinja2.utils
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_CHARACTERS = 1_000_000  # of one rendering
MOST_CHARACTERS_IN_ALL = 8_000_000


class _RefusedError(TemplateError):
    """The template called ``raise_exception``."""


class _TooLongError(Exception):
    """The rendering is longer than any conversation of this job could need."""


class _GenerationTag(jinja2.ext.Extension):
    """``{% generation %}`` marks what the assistant says; it prints its body and no more."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own form

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """The body in place of the block, in a scope of its own, as the original's call block has it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return [jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)]

    def _body(self, caller: jinja2.runtime.Macro) -> str:
        return str(caller())


class _Dict:
    """``dict`` with nothing on it to climb out by, as in transformers."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _Namespace(jinja2.utils.Namespace):
    """``namespace`` that takes no underscored attribute, as in transformers."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # so that namespace(self=...) works
        self, rest = args[0], args[1:]
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _Namespace._check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _Namespace._check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"underscored namespace attribute {name!r}")


def _raise_exception(message: Any = "") -> None:
    raise _RefusedError(str(message))


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Plain JSON; jinja2's own filter would escape for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(today: datetime.datetime) -> ImmutableSandboxedEnvironment:
    """The environment that transformers renders chat templates in, with the clock stopped at ``today``."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _tojson
    made.globals.update(
        raise_exception=_raise_exception,
        strftime_now=lambda form: today.strftime(str(form)),
        dict=_Dict(),
        namespace=_Namespace,
    )
    return made


def warm_up() -> None:
    """Touch everything that is imported late, while files can still be opened."""
    sample = (
        "{% generation %}{{ [1]|tojson }}{% endgeneration %}{{ strftime_now('%d %b %Y') }}"
        "{{ 'a b'|wordwrap(1) }}{{ {}|pprint }}{{ lipsum(n=1) }}{{ 'http://a'|urlize }}{{ 'a'|urlencode }}"
    )
    environment(datetime.datetime(2024, 7, 26)).from_string(sample).render()
    _outcome(environment(datetime.datetime(2024, 7, 26)), "{{ ''.__class__.__mro__ }}{% if %}", [{}])
    json.dumps(json.loads("[1.5]"))


def work(job: dict[str, Any]) -> list[dict[str, str]]:
    """One entry a case: ``{"text": ...}``, or ``{"error": kind, "reason": ...}``.

    ``job`` has the ``template``, the ``date`` (ISO) and the ``cases``, each a dict of the variables to render with.
    """
    today = datetime.datetime.fromisoformat(job["date"])
    return _outcome(environment(today), job["template"], job["cases"])


def _outcome(made: ImmutableSandboxedEnvironment, source: str, cases: list[dict[str, Any]]) -> list[dict[str, str]]:
    try:
        template = made.from_string(source)
    except TemplateSyntaxError as error:
        return [{"error": "syntax", "reason": f"line {error.lineno}: {error.message}"}] * len(cases)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the generated code did not compile: an error of the template's, in jinja2's words
        return [{"error": "syntax", "reason": f"{type(error).__name__}: {error}"}] * len(cases)
    outcomes, room = [], MOST_CHARACTERS_IN_ALL
    for case in cases:
        outcomes.append(_render(template, case, min(room, MOST_CHARACTERS)))
        room -= len(outcomes[-1].get("text", ""))
    return outcomes


def _render(template: jinja2.Template, case: dict[str, Any], most: int) -> dict[str, str]:
    """One rendering, or why there is none. Running out of memory or stack ends the whole job."""
    try:
        return {"text": _bounded(template, case, most)}
    except _RefusedError as error:
        return {"error": "refused", "reason": str(error)}
    except SecurityError as error:
        return {"error": "security", "reason": str(error)}
    except _TooLongError:
        return {"error": "output", "reason": f"more than {most} characters"}
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        return {"error": "failed", "reason": f"{type(error).__name__}: {error}"[:2000]}


def _bounded(template: jinja2.Template, case: dict[str, Any], most: int) -> str:
    pieces, length = [], 0
    for piece in template.generate(**case):
        length += len(piece)
        if length > most:
            raise _TooLongError
        pieces.append(piece)
    return "".join(pieces)
