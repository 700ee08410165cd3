"""What a GPU would trip over, found without one: tensors that become arrays must have come to the CPU before."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "auditkit"
# Tensors that never leave the CPU, and `Scores.numpy`, which brings its own there.
ALLOWED = {
    (
        "models/vllm_child.py",
        "Scores(**{name: torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])})",
    ),
    ("models/likelihood.py", "score(logits, ids[at[:, 0], at[:, 1]], self.vocabulary, self.asked)"),
    ("scoring/vectors/nomination.py", "self._copy[rows].float()"),
    ("scoring/vectors/nomination.py", "rounded.float()"),
}


def uncovered(source: str) -> Iterator[str]:
    """What ``.numpy()`` is called on, where that is not what ``.cpu()`` gave."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "numpy"):
            continue
        tensor = node.func.value
        if not (isinstance(tensor, ast.Call) and isinstance(tensor.func, ast.Attribute) and tensor.func.attr == "cpu"):
            yield ast.unparse(tensor)


@pytest.mark.parametrize(("source", "expected"), [("x.cpu().numpy()", []), ("x.float().numpy()", ["x.float()"])])
def test_the_check_itself(source: str, expected: list[str]) -> None:
    assert list(uncovered(source)) == expected


def test_tensors_come_to_the_cpu_before_they_become_arrays() -> None:
    files = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    found = {(name, tensor) for name, source in files.items() for tensor in uncovered(source)}
    assert found == ALLOWED


def test_nothing_names_a_device_but_where_one_is_chosen() -> None:
    """A ``device="cpu"`` elsewhere, or ``.cuda()``, would part what has to be together."""
    named = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("device", "device_type"):
                named |= {path.relative_to(PACKAGE).as_posix()} if isinstance(node.value, ast.Constant) else set()
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                named.add(path.relative_to(PACKAGE).as_posix())
    assert not named
