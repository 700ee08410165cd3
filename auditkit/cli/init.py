"""``auditkit init``: a policy to begin with, a sample of the data layout, and a CI snippet."""

from __future__ import annotations

import re
from pathlib import Path

import click

from auditkit.errors import AuditkitError, RunError
from auditkit.resources import resource_folder

# File in templates -> file in the new folder. Dots are added here: packaging tools pass over hidden files.
FILES = {
    "init/policy.yaml": "policy.yaml",
    "init/README.md": "README.md",
    "init/gitignore": ".gitignore",
    "init/data/members.jsonl": "data/members.jsonl",
    "init/data/controls.jsonl": "data/controls.jsonl",
    "init/data/README.md": "data/README.md",
    "ci/github-actions.yml": "ci/github-actions.yml",
    "ci/gitlab-ci.yml": "ci/gitlab-ci.yml",
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]")
def init(folder: Path) -> None:
    """Write a commented policy.yaml, a sample of the data layout and a CI snippet into DIR (default: here).

    Nothing that is there already is overwritten.

    \b
    Example:
      auditkit init my-audit
      auditkit check my-audit/policy.yaml
    """
    for path in write_project(folder):
        click.echo(str(path))
    click.echo(f"Next: put your model and data into {folder / 'policy.yaml'}, then", err=True)
    click.echo(f"  auditkit check {folder / 'policy.yaml'}", err=True)


def write_project(folder: Path) -> list[Path]:
    """Write the files and return their paths.

    Raises:
        AuditkitError: one of them exists already, or the folder is a file; nothing was written then.
        RunError: the folder cannot be written to.
    """
    existing = [target for target in FILES.values() if (folder / target).exists() or (folder / target).is_symlink()]
    if existing:
        raise AuditkitError(
            f"already there: {', '.join(existing)} in {folder}", "choose an empty folder: auditkit init DIR"
        )
    if folder.exists() and not folder.is_dir():
        raise AuditkitError(f"{folder} is a file", "give the name of a folder")
    templates = resource_folder("templates")
    name = _policy_name(folder)
    try:
        return [_write(templates / source, folder / target, name) for source, target in FILES.items()]
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written to: {error.strerror}", "free space, or choose another folder"
        ) from None


def _policy_name(folder: Path) -> str:
    """A policy's name after the folder's."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-._")
    return name[:80] or "my-model"


def _write(source: Path, target: Path, name: str) -> Path:
    text = source.read_text(encoding="utf-8").replace("@NAME@", name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return target
