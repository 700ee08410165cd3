"""``auditkit diff``: two finished runs held against each other, and whether leakage rose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auditkit import __version__
from auditkit.auditing.diff_lines import decided, gate_lines, other_lines
from auditkit.auditing.diff_records import moved_records
from auditkit.auditing.diff_runs import DiffRun, read_run
from auditkit.auditing.diff_sameness import Sameness
from auditkit.auditing.diff_scores import score_shifts
from auditkit.auditing.diff_unlike import unlike_things
from auditkit.report.diff import ALPHA, Compared, Diff, DiffOutcome
from auditkit.report.diff_words import line_in_words


def compare_runs(
    before: Path, after: Path, *, key: Path | None = None, unverified: bool = False, alpha: float = ALPHA
) -> Diff:
    """What moved from one run to another.

    Args:
        before: The run folder to compare with: the earlier release.
        after: The run folder that is compared.
        key: The signer's public key, which both runs must then be signed with.
        unverified: Also compare what is not as it was attested.
        alpha: Chance of saying that anything moved where nothing did, over all figures that decide; in (0, 1).

    Raises:
        AuditkitError: a run that is none, is not finished, or is not as it was attested.
    """
    first, second = (read_run(path, key, unverified) for path in (before, after))
    return compare(first, second, alpha)


def compare(before: DiffRun, after: DiffRun, alpha: float = ALPHA) -> Diff:
    """The same for runs that were read.

    Raises:
        ValueError: alpha is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha lies between 0 and 1, such as 0.05")
    same = Sameness(before, after)
    gate = gate_lines(same, alpha)
    outcome = _outcome(gate)
    return Diff(
        auditkit_version=__version__,
        before=before.described(),
        after=after.described(),
        outcome=outcome,
        sentence=_sentence(gate, outcome, same),
        alpha=alpha,
        comparisons=len(decided(gate)),
        gate=gate,
        others=other_lines(same, alpha),
        scores=list(score_shifts(same)),
        records=list(moved_records(same)),
        not_same=unlike_things(same),
        method=_method(len(decided(gate)), alpha),
    )


def _outcome(gate: Sequence[Compared]) -> DiffOutcome:
    movements = {line.movement for line in decided(gate)}
    if not movements:
        return "incomparable"
    if "rose" in movements:
        return "rose"
    return "fell" if "fell" in movements else "level"


def _sentence(gate: Sequence[Compared], outcome: DiffOutcome, same: Sameness) -> str:
    """The outcome with the figures that decided it, and what could not be compared."""
    moved = [line_in_words(line) for line in decided(gate) if line.movement == outcome]
    said = {
        "rose": f"Leakage rose: {'; '.join(moved[:3])}{_and_more(len(moved) - 3)}.",
        "fell": f"Leakage fell: {'; '.join(moved[:3])}{_and_more(len(moved) - 3)}; no figure of the gate rose.",
        "level": "No rise of leakage is shown, and no fall: every difference is within what chance brings.",
        "incomparable": "Nothing that the gates speak of could be compared like with like; see what is not the same.",
    }[outcome]
    left_out = len(gate) - len(decided(gate))
    if left_out and outcome != "incomparable":
        said += (
            f" {left_out} of the gates' {len(gate)} figures could not be compared like with like, and did not decide."
        )
    if same.before.described().model_sha256 and not same.role_changed("candidate"):
        said += " Both runs audited the same weights."
    return said


def _and_more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def _method(comparisons: int, alpha: float) -> list[str]:
    return [
        "A difference is the second run's figure minus the first's, with a 95 % interval.",
        f"{comparisons} figure{'' if comparisons == 1 else 's'} of the gates decide{'s' if comparisons == 1 else ''}: "
        f"their p-values are corrected by Holm's method, so that the chance of any false word is at most {alpha:g}, "
        f"and of a false rise {alpha / 2:g}.",
        "Paired: both runs sampled with the same seeds against the same records, and generations are compared one by "
        "one. Independent: by the two runs' own intervals, wider than need be where they have chance in common.",
        "Other figures are shown with their own intervals, uncorrected: of twenty, one lies beyond 0 by chance.",
    ]
