"""``auditkit lab``: models whose training data is known, to check the instrument itself."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "build": ("lab_build:build_command", "build a model family from a recipe: base, SFT, DPO, RL, on recorded data"),
    "calibrate": ("lab_calibrate:calibrate", "run the toolkit on a family: what it detects against what is true"),
    "mitigations": (
        "lab_mitigations:mitigations",
        "try every mitigation on families, attacked again: what helps, what it costs",
    ),
    "worth": (
        "lab_worth:worth",
        "what a leak is worth: the base trained on what was extracted, against the originals",
    ),
    "stages": ("lab_stages:stages", "is the training stage of each leaked record named right? a family's own chain"),
    "removal": (
        "lab_removal:removal",
        "train a family again without the top of its removal list: prediction against outcome",
    ),
    "plant": ("lab_plant:plant", "plant canaries and ghost sentences in a dataset, to look for later"),
    "negative-knowledge": (
        "lab_negative_knowledge:negative_knowledge",
        "can a model use what it was trained away from? the passwords experiment",
    ),
}


class LabGroup(click.Group):
    """Sub-commands are modules of auditkit.cli, imported only when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(f"auditkit.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.command(cls=LabGroup)
def lab() -> None:
    """Build models whose training data is known, and audit them to check the instrument.

    \b
    Example:
      auditkit lab build family --out family
      auditkit lab calibrate family
    """
