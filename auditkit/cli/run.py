"""``auditkit run``: the audit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditkit.errors import AuditkitError
from auditkit.registry import BUILT_IN, kinds

# In the order in which they are told; what else lies in a run folder, its attestation lists.
WITH_TEXTS = ("report.html", "report.pdf", "report.annex.pdf", "audit.json")
WITHOUT_TEXTS = (
    *("report.redacted.html", "report.redacted.pdf", "report.redacted.annex.pdf", "audit.redacted.json"),
    *("results.sarif", "results.junit.xml", "bom.cdx.json", "summary.md"),
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from auditkit.policy.schema import Policy


@click.command()
@click.argument("policy", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the run folder (default: reports).")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with an interrupted run.")
@click.option("--engine", default="", metavar="E", help="With --resume: go on with local, ray or ray:HOST:PORT.")
@click.option("--more-usd", type=click.FloatRange(min=0), default=0.0, help="With --resume: add to models' budget.")
@click.option("--more-tokens", type=click.IntRange(min=0), default=0, help="With --resume: add to models' budget.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override one value of the policy.")
@click.option("--format", "formats", multiple=True, metavar="F", help=f"Also write: {', '.join(BUILT_IN['formats'])}.")
@click.option("--quiet", is_flag=True, help="Print the verdict only.")
@click.option("--verbose", is_flag=True, help="Tell every stage and its time.")
@click.option("--no-progress", is_flag=True, help="No progress bars or status lines.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
def run(  # noqa: PLR0917 - click hands options over by name
    policy: Path | None,
    out: Path | None,
    resume: Path | None,
    engine: str,
    overrides: tuple[str, ...],
    formats: tuple[str, ...],
    **others: Any,
) -> None:
    """Attack the model as the policy says, and judge it by the gate.

    In GitHub Actions the summary of the format markdown is also appended to $GITHUB_STEP_SUMMARY.

    \b
    Examples:
      auditkit run policy.yaml
      auditkit run policy.yaml --set attacks.0.samples=500 --format pdf
      auditkit run --resume reports/support-bot-1.2-20261122T101500Z-1a2b3c4d
      auditkit run --resume reports/RUN --engine local
    """
    from auditkit.auditing import runner
    from auditkit.cli.live_progress import progress_for
    from auditkit.cli.step_summary import append_step_summary
    from auditkit.policy.load import load_policy

    with progress_for(quiet=others["quiet"] or others["no_progress"], verbose=others["verbose"]) as listener:
        if resume:
            if policy or out or overrides or formats:
                raise AuditkitError("--resume takes the run folder alone", "its policy is kept inside it")
            result = runner.resume(resume, listener, engine, (others["more_usd"], others["more_tokens"]))
        elif others["more_usd"] or others["more_tokens"]:
            raise AuditkitError("--more-usd and --more-tokens go with --resume", "a new run has its policy's budget")
        elif policy:
            if engine:
                raise AuditkitError("--engine belongs to --resume", "--set engine.kind=ray, or `engine` in the policy")
            loaded = _also_written(load_policy(policy, overrides=list(overrides)), formats)
            result = runner.start(loaded, out or Path("reports"), listener)
        else:
            raise AuditkitError("no policy given", "auditkit run POLICY, or auditkit run --resume RUN")
    if not result.read_only:
        append_step_summary(result.report)
    _show(result, as_json=others["as_json"], quiet=others["quiet"])
    sys.exit(result.report.verdict.exit_code)


def _also_written(policy: Policy, formats: tuple[str, ...]) -> Policy:
    """--format adds to what the policy asks for; it changes nothing that is measured, so it is no override."""
    unknown = [name for name in formats if name not in kinds("formats")]
    if unknown:
        raise AuditkitError(f"no format is called {unknown[0]!r}", f"one of: {', '.join(kinds('formats'))}")
    wanted = list(dict.fromkeys([*policy.report.formats, *formats]))
    return policy.model_copy(update={"report": policy.report.model_copy(update={"formats": wanted})})


def _show(result: Any, *, as_json: bool, quiet: bool) -> None:
    from rich.console import Console

    from auditkit.report import wording
    from auditkit.report.terminal import render_screen

    report = result.report
    if as_json:
        cautions = [*report.policy.weaker_than_preset, *report.verdict.cautions]
        by_waiver = wording.waivers_applied(report)
        told = {"cautions": cautions, "waivers": by_waiver, "run": str(result.folder)}
        found = {**report.verdict.model_dump(mode="json"), **told}
        click.echo(json.dumps(found, indent=2))
    elif quiet:
        click.echo(f"{wording.outcome_words(report).lower()} {result.folder}")
    else:
        console = Console(highlight=False)
        _print(render_screen(report, console.width), console)
        _tell_files(result.folder)


def _print(screen: RenderableType, console: Console) -> None:
    """As on a terminal; into a pipe or a file without the spaces that fill its lines."""
    if console.is_terminal:
        console.print(screen)
        return
    with console.capture() as captured:
        console.print(screen)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _tell_files(folder: Path) -> None:
    here = Path.cwd()
    folder = folder.relative_to(here) if folder.is_relative_to(here) else folder
    click.echo(f"Reports in {folder}")
    for heading, names in (("with texts of the data:", WITH_TEXTS), ("without a word of the data:", WITHOUT_TEXTS)):
        if there := [name for name in names if (folder / name).exists()]:
            click.echo("\n".join([f"  {heading}", *(f"    {name}" for name in there)]))
    click.echo(f"Check it at any time: auditkit verify {folder}")
