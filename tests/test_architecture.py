"""Imports point one way, and heavy libraries are imported only where they are wrapped (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "auditkit"
HEAVY = {
    "torch",
    "transformers",
    "vllm",
    "google",
    "openai",
    "httpx2",
    "hnswlib",
    "ray",
    "weasyprint",
    "typst",
    "sentence_transformers",
    "pyhanko",
    "trl",
    "peft",
    "datasets",
    "opacus",
    "lm_eval",
    "model_signing",
    "cyclonedx",
}
BOTTOM = {"errors", "files", "machine_code", "records", "registry", "remote", "resources", "statistics", "strict_json"}
ROOMS = {
    "policy",
    "corpus",
    "models",
    "attacks",
    "probes",
    "scoring",
    "mitigations",
    "report",
    "signing",
    "engines",
    "worth",
}
LEVELS = {
    **dict.fromkeys(BOTTOM, 0),
    "training": 1,
    **dict.fromkeys(ROOMS, 2),
    "auditing": 3,
    "lab": 4,
    "cli": 5,
}


def _modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in LEVELS]


def _room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every import as a dotted name, and whether it is executed when the module is loaded."""
    tree = ast.parse(path.read_text())
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    guarded = {id(node) for test in ast.walk(tree) if _is_type_checking(test) for node in ast.walk(test)}
    for node in ast.walk(tree):
        at_load = id(node) not in inside and id(node) not in guarded
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, at_load
            yield from ((f"{node.module}.{alias.name}", at_load) for alias in node.names if node.module == "auditkit")


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = _room(path)
    for name, _ in _imports(path):
        parts = name.split(".")
        if parts[0] != "auditkit" or len(parts) < 2 or parts[1] not in LEVELS or parts[1] == here:
            continue
        there = parts[1]
        assert LEVELS[there] <= LEVELS[here], f"{path} imports {name}, which stands above it"
        if LEVELS[there] == LEVELS[here] == 2:
            allowed = parts[2:3] == ["base"] or (here, there) in SHARED
            assert allowed, f"{path} imports {name}: rooms on one level meet in base.py only"


# The policy's sections are plain types that other rooms never need; the policy itself is what the runner hands round.
SHARED: set[tuple[str, str]] = set()


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_inside_functions(path: Path) -> None:
    heavy = {name for name, at_load in _imports(path) if at_load and name.split(".")[0] in HEAVY}
    assert not heavy, f"{path} imports {heavy} when it is loaded"


def test_help_needs_no_heavy_library() -> None:
    program = (
        "import sys; from auditkit.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        f"heavy = {sorted(HEAVY)!r}; print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "exit" in done.stdout.lower()


def test_schema_and_policy_loading_need_no_heavy_library() -> None:
    program = (
        "import sys; import auditkit.policy.load; from auditkit.registry import FAMILIES, kinds, plugin_class\n"
        "for family in FAMILIES:\n"
        "    for kind in kinds(family): plugin_class(family, kind)\n"
        f"slow = {sorted(HEAVY | {'scipy', 'pyarrow', 'matplotlib', 'wordllama'})!r}\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
