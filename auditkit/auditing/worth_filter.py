"""The filter of ``worth:`` in a run: its judge opened, what it costs counted, and what it may not be sent refused.

A stage opens the judge once, and filters as often as it has budgets::

    with opened_judge(context, section, stage.advance) as judge:
        mistakes = judge.mistakes() if judge else []
        found = filtered(extractions(generations, trace), section, judge)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from auditkit.auditing.context import Context
from auditkit.auditing.serving_costs import CHARACTERS_PER_TOKEN, PREFIX_TOKENS, told_of
from auditkit.auditing.spending import facts_of, metered_model
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy
from auditkit.remote.budget import Meter, Spent
from auditkit.remote.kept import Kept
from auditkit.worth.base import Extraction, Filtered, FilterSection, JudgeSection
from auditkit.worth.filtering import Verifier, filtered
from auditkit.worth.judge import SPECIMENS, Judge
from auditkit.worth.rubric import CLOSING, RUBRIC, RUBRIC_SHA256

ROLE = "judge"


@contextmanager
def opened_judge(
    context: Context, section: FilterSection, tell: Callable[[int], None] = lambda _: None
) -> Iterator[Judge | None]:
    """The judge that the section declares, for any number of ``filtered``; None where it declares none.

    What it answered is kept in the run's scratch folder, so that a run that goes on asks nothing twice; what a served
    judge costs is counted in the event log under the role "judge". ``tell`` hears how many more are judged.

    Raises:
        AuditkitError: texts would leave this machine that must not.
    """
    if section.judge is None:
        yield None
        return
    refuse_judging(context.policy, section.judge)
    backend = section.judge.model
    backend.fetch()
    if _is_served(backend):
        backend = metered_model(context, ROLE, backend)
    kept = getattr(backend, "kept", None) or Kept(context.run.shared_work / f"answers-{ROLE}.sqlite")
    with backend.open(ROLE) as model:
        yield Judge(model, section.judge, seed=context.policy.seed, kept=kept, tell=tell)


def filtered_extractions(
    context: Context,
    section: FilterSection,
    extractions: Iterable[Extraction],
    *,
    verify: Verifier | None = None,
) -> Filtered:
    """``filtered`` once, with the judge opened for it."""
    with opened_judge(context, section) as judge:
        return filtered(extractions, section, judge, verify=verify)


def refuse_judging(policy: Policy, judge: JudgeSection) -> None:
    """One forbidden dataset is enough: what the candidate wrote may hold texts of any.

    Raises:
        AuditkitError: a served judge would be sent texts that must not leave this machine.
    """
    forbidden = [section.name for section in policy.datasets if section.external_processing != "allow"]
    if judge.model.external and forbidden:
        raise AuditkitError(
            f"the judge is sent what was extracted over the network, which {', '.join(forbidden)} forbids",
            "judge with a model on this machine, or set external_processing: allow",
        )


def judge_facts(context: Context, judge: JudgeSection) -> dict[str, Any]:
    """What the report says of a judge: which model by which rubric, and what it took where it is served."""
    told = {**judge.model.provenance(), "keep_from": judge.keep_from, "rubric_sha256": RUBRIC_SHA256}
    return {**told, **(facts_of(context, ROLE, judge.model) if _is_served(judge.model) else {})}


def what_the_judge_costs(judge: JudgeSection, generations: int) -> tuple[str, str]:
    """What ``auditkit check`` says of a served judge, and a warning ("" for none); nothing of one that runs here.

    At most: every generation reaches the judge, and is as long as it is shown.
    """
    if not _is_served(judge.model):
        return "", ""
    asked = generations + len(SPECIMENS)
    shown = (len(RUBRIC) + len(CLOSING) + 2 * judge.characters) // CHARACTERS_PER_TOKEN
    most = Spent(asked, asked * (PREFIX_TOKENS + shown), asked * judge.max_new_tokens)
    return told_of(ROLE, judge.model, most)


def _is_served(backend: Any) -> bool:
    return isinstance(getattr(backend, "meter", None), Meter)
