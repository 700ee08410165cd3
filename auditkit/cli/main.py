"""The entry point: commands loaded when called, errors told once, exit codes in one place."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from auditkit import __version__
from auditkit.errors import AuditkitError, RunError

COMMANDS = {
    "init": "write a commented policy, a sample of the data layout and a CI snippet",
    "check": "validate a policy and preflight it without opening a model",
    "register": "sign and time-stamp a policy before its run",
    "run": "run the audit; the exit code is the gate",
    "status": "say how far a run is, or how it ended; from another shell",
    "report": "render the reports of a finished run again, into a new folder",
    "show": "show the evidence for one item of a run, side by side",
    "diff": "show what moved between two runs; the exit code is whether leakage rose",
    "waive": "sign an exception to a rule or for a record, with an expiry",
    "verify": "check every digest and signature of a finished run",
    "purge": "erase the evidence and the full reports of a run; what stays still verifies",
    "lab": "build models whose training data is known, and check the instrument",
    "keygen": "make signing keys and a certificate",
    "schema": "print the JSON Schema of a policy",
    "plugins": "list what is registered, with parameters",
}


class LazyGroup(click.Group):
    """Commands are modules of auditkit.cli, imported only when asked for: --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"auditkit.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="auditkit")
def cli() -> None:
    """Does this model give away the proprietary data it was aligned with?

    \b
    Example:
      auditkit init my-audit
      auditkit check my-audit/policy.yaml
      auditkit run my-audit/policy.yaml

    \b
    Exit codes of run:
      0 the gate passed         1 the gate failed   2 wrong command, policy, data
      3 inconclusive evidence   4 broken or interrupted; resume with --resume RUN
    """


def main() -> NoReturn:
    """Run the command line; the only place that turns errors into exit codes."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = _tell(RunError("interrupted", f"{_again()} (what was finished is kept)"))
    except AuditkitError as error:
        code = _tell(error)
    except BrokenPipeError:
        code = 4
    except Exception as error:  # ours or a library's fault; 1 would say that the gate failed
        if os.environ.get("AUDITKIT_TRACEBACK"):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"auditkit broke: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        code = _tell(RunError(what, "AUDITKIT_TRACEBACK=1 shows where; it may print texts of the data"))
    sys.exit(code if isinstance(code, int) else 0)


def _again() -> str:
    """How the command that was given goes on."""
    return "give the same command again" if sys.argv[1:2] == ["lab"] else "go on with: auditkit run --resume RUN"


def _tell(error: AuditkitError) -> int:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
    return error.exit_code


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """A polite kill is an interruption like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
