"""Was the bar set before the result? The answer in words, for page one, the terminal and a section of its own."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.report import formatting
from auditkit.report.base import AuditReport
from auditkit.report.history import EarlierRun, EarlierRuns, Registration

REACH = (
    "The ledger is a file on the machine where the audits are run. Lines that were changed, taken out or put in break "
    "its chain and are told here; but it cannot exclude runs made elsewhere, nor a ledger that was deleted together "
    "with its runs."
)
_OUTCOMES = {
    "pass": "passed",
    "fail": "failed the gate",
    "inconclusive": "inconclusive",
    "failed": "broke off",
    "interrupted": "interrupted, not finished",
    "unfinished": "not finished",
}


def answer(report: AuditReport) -> str:
    """Whether the limits were fixed before the result was known, in two or three sentences; "" in older reports."""
    if report.registration is None and report.earlier_runs is None:
        return ""
    return " ".join(_answer(report.registration, report.earlier_runs or EarlierRuns()))


def _answer(registration: Registration | None, earlier: EarlierRuns) -> Iterator[str]:
    if registration is None:
        yield (
            "The policy was not registered before the run: only the auditor's word says that its limits were set "
            "before the result was known."
        )
        yield f"{_runs(earlier.total)} of the same model and data {_are(earlier.total)} known."
    else:
        yield _registered(registration)
        if registration.later_runs:
            made = f"{_runs(registration.later_runs)} of the same model and data {_are(registration.later_runs)}"
            yield f"{made} known from between the registration and this run."
        if registration.previous_sha256:
            yield "It follows an earlier registration."
        if not registration.same_key:
            yield "It is signed by another key than this report."
    if earlier.problems:
        yield "What the ledger says of earlier runs cannot be relied on." if _broken(earlier) else earlier.problems[0]


def _broken(earlier: EarlierRuns) -> bool:
    return any("cannot be relied on" in problem for problem in earlier.problems)


def _registered(found: Registration) -> str:
    when = f"The policy was registered on {formatting.moment(found.moment)} ({clock(found)})"
    if found.differences:
        more = len(found.differences) - 1
        others = f" And {more} more difference{'s' * (more > 1)}, told in the section on it." if more else ""
        return f"{when}, but something else was run. {found.differences[0]}{others}"
    before = max(found.runs_before, found.earlier_runs or 0)
    if before:
        return f"{when} and run as registered, but after {_runs(before).lower()} of the same model and data."
    return f"{when}, before any known run of the same model and data, and was run as registered."


def clock(found: Registration) -> str:
    """By whose clock a policy was registered."""
    return f"by a time stamp of {found.authority}" if found.stamped else "by its signer's own clock"


def _runs(count: int) -> str:
    return f"{count or 'No'} earlier run{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def outcome(run: EarlierRun) -> str:
    """How an earlier run ended."""
    return _OUTCOMES[run.outcome]


def auditor(report: AuditReport) -> str:
    """Who audited with what, and what the method does not reach: for page one."""
    who = report.release.auditor or "an auditor whom the policy does not name"
    return f"Audited by {who} with auditkit {report.run.auditkit_version}."


METHOD_LIMIT = (
    "The audit shows what the attacks described here could obtain from this model, at this number of attempts and "
    "against the data declared, and nothing beyond that"
)
