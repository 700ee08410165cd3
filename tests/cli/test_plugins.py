"""``auditkit plugins`` tells what can be written in a policy, and what would have to be installed first."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from auditkit.cli import plugins as command
from auditkit.cli.plugins import EXTRAS, plugins, registered
from auditkit.registry import FAMILIES, kinds


def listed(family: str, kind: str) -> dict[str, Any]:
    return next(plugin for plugin in registered()[family] if plugin["kind"] == kind)


def test_every_kind_of_every_family_is_listed() -> None:
    found = json.loads(CliRunner().invoke(plugins, ["--json"]).stdout)
    assert {family: [p["kind"] for p in found[family]] for family in found} == {f: sorted(kinds(f)) for f in FAMILIES}


def test_a_parameter_has_type_default_bounds_and_description() -> None:
    samples = next(p for p in listed("attacks", "template_prefix")["parameters"] if p["name"] == "samples")
    assert samples["type"] == "integer"
    assert samples["required"] is True
    assert samples["bounds"] == ["at least 1", "at most 10000000"]
    assert samples["description"] == "Generations in all."
    prefix = next(p for p in listed("attacks", "template_prefix")["parameters"] if p["name"] == "prefix")
    assert (prefix["type"], prefix["default"]) == ("auto or {literal}", "auto")


def test_every_plug_in_says_what_it_does() -> None:
    assert all(plugin["summary"] for family in registered().values() for plugin in family)


def test_the_text_says_the_same() -> None:
    text = CliRunner().invoke(plugins).stdout
    for family in FAMILIES:
        assert family in text
        assert all(kind in text for kind in kinds(family))
    words = " ".join(text.split())
    assert "samples: integer, required, at least 1, at most 10000000. Generations in all." in words
    assert "\x1b" not in text


def test_what_is_missing_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _module: None)
    assert listed("indexes", "hnsw")["missing"] == "pip install 'auditkit[hnsw]'"
    assert listed("indexes", "hnsw")["installed"] is False
    assert listed("indexes", "exact")["installed"] is True
    assert "(not installed: pip install 'auditkit[gemini]')" in CliRunner().invoke(plugins).stdout


@pytest.mark.parametrize("missing", ["weasyprint", "typst"])
def test_a_format_that_needs_two_libraries_needs_both(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(command, "find_spec", lambda module: None if module == missing else SimpleNamespace())
    assert listed("formats", "pdf")["missing"] == "pip install 'auditkit[pdf]'"


def test_what_is_there_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _module: SimpleNamespace())
    assert all(plugin["installed"] for family in registered().values() for plugin in family)


def test_a_plug_in_that_cannot_be_imported_is_told_and_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def kinds_with_a_broken_one(family: str) -> dict[str, str]:
        return {"broken": "no.such.module:Thing"} if family == "probes" else {}

    monkeypatch.setattr(command, "kinds", kinds_with_a_broken_one)
    monkeypatch.setattr(command, "plugin_class", lambda *_: __import__("no.such.module"))
    (broken,) = registered()["probes"]
    assert broken["installed"] is False
    assert "cannot be imported" in broken["missing"]


def test_every_extra_named_is_one_of_the_package() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert {extra for extra, *_ in EXTRAS.values()} <= set(declared["project"]["optional-dependencies"])
    assert all(kind in kinds(family) for family, kind in EXTRAS)


def test_the_list_fits_a_terminal_of_80_columns() -> None:
    lines = CliRunner(env={"COLUMNS": "80"}).invoke(plugins).stdout.splitlines()
    assert lines and max(map(len, lines)) <= 80
