"""``auditkit plugins``: what is registered, with parameters, and what would have to be installed."""

from __future__ import annotations

import json
import shutil
import textwrap
from importlib.util import find_spec
from typing import Any

import click

from auditkit.registry import FAMILIES, Family, kinds, plugin_class

# Which extra a kind needs, and the modules of it that are there once it is installed.
EXTRAS: dict[tuple[Family, str], tuple[str, ...]] = {
    ("models", "transformers"): ("transformers", "transformers"),
    ("models", "vllm"): ("vllm", "vllm"),
    ("models", "openai_compatible"): ("openai", "openai"),
    ("models", "gemini"): ("gemini", "google.genai"),
    ("embedders", "sentence_transformers"): ("sentence-transformers", "sentence_transformers"),
    ("embedders", "gemini"): ("gemini", "google.genai"),
    ("indexes", "hnsw"): ("hnsw", "hnswlib"),
    ("formats", "pdf"): ("pdf", "weasyprint", "typst"),
    ("engines", "ray"): ("ray", "ray"),
}
_BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "more than"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
    ("maxLength", "characters at most"),
    ("pattern", "of the form"),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def plugins(as_json: bool) -> None:
    """List every plug-in by family, with its parameters, defaults and bounds.

    \b
    Example:
      auditkit plugins
      auditkit plugins --json
    """
    found = registered()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for family, listed in found.items():
        click.secho(family, bold=True)
        if not listed:
            click.echo("  none")
        for plugin in listed:
            _print(plugin)


def registered() -> dict[str, list[dict[str, Any]]]:
    """Every family with its plug-ins: kind, what it does, whether it can be used here, and its parameters."""
    return {family: [_described(family, kind) for kind in sorted(kinds(family))] for family in FAMILIES}


def _described(family: Family, kind: str) -> dict[str, Any]:
    try:
        plugin = plugin_class(family, kind)
    except (ImportError, AttributeError) as error:
        why = f"cannot be imported: {error}"
        return {"kind": kind, "summary": "", "installed": False, "missing": why, "parameters": []}
    schema = plugin.model_json_schema()
    missing = _missing(family, kind)
    return {
        "kind": kind,
        "summary": (schema.get("description") or "").split("\n\n")[0].replace("\n", " "),
        "installed": missing is None,
        "missing": missing,
        "parameters": [
            _parameter(name, declared, schema)
            for name, declared in schema.get("properties", {}).items()
            if "const" not in declared
        ],
    }


def _missing(family: Family, kind: str) -> str | None:
    extra, *modules = EXTRAS.get((family, kind), ("",))
    return None if all(map(_is_there, modules)) else f"pip install 'auditkit[{extra}]'"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def _parameter(name: str, declared: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    flat = {**declared, **next((c for c in declared.get("anyOf", []) if c.get("type") != "null"), {})}
    return {
        "name": name,
        "type": _type(declared, schema.get("$defs", {})),
        "required": name in schema.get("required", []),
        "default": declared.get("default"),
        "bounds": [f"{words} {flat[key]}" for key, words in _BOUNDS if key in flat],
        "description": declared.get("description", ""),
    }


def _type(declared: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "anyOf" in declared:
        return " or ".join(_type(choice, definitions) for choice in declared["anyOf"])
    if "$ref" in declared:
        section = definitions.get(declared["$ref"].rsplit("/", 1)[-1], {})
        return "{" + ", ".join(section.get("properties", {})) + "}"
    if "enum" in declared:
        return " | ".join(str(value) for value in declared["enum"])
    if "const" in declared:
        return str(declared["const"])
    return str(declared.get("type", "any"))


def _print(plugin: dict[str, Any]) -> None:
    state = "" if plugin["installed"] else click.style(f"  (not installed: {plugin['missing']})", fg="yellow")
    click.echo(f"  {click.style(plugin['kind'], fg='cyan')}{state}")
    if plugin["summary"]:
        _print_wrapped(plugin["summary"], "      ")
    for parameter in plugin["parameters"]:
        default = "required" if parameter["required"] else f"default {json.dumps(parameter['default'])}"
        facts = ", ".join([parameter["type"], default, *parameter["bounds"]])
        description = f"  {parameter['description']}" if parameter["description"] else ""
        _print_wrapped(f"{parameter['name']}: {facts}.{description}", "      ", "        ")


def _print_wrapped(text: str, indent: str, later: str | None = None) -> None:
    """Within the width of the terminal; ``later``: what the second line and those after it begin with."""
    width = min(100, shutil.get_terminal_size().columns)
    wrapped = textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=later or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    click.echo(wrapped)
