"""What a run spends on models that are only served: counted in its event log, over every process of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from auditkit.auditing.context import Context
from auditkit.auditing.events import EventLog
from auditkit.errors import AuditkitError
from auditkit.models.base import ModelBackend
from auditkit.policy.schema import Policy
from auditkit.policy.served_checks import sends_records
from auditkit.records import ATTACKERS
from auditkit.remote.budget import Budget, Meter, Spent, raised
from auditkit.remote.kept import Kept

More = tuple[float, int]  # US dollars, tokens
NO_MORE: More = (0.0, 0)
ASKED = "model_asked"
SAID = "server_said"
RAISED = "budget_raised"


def served(policy: Policy) -> dict[str, Any]:
    """The declared models that are only served, by role."""
    declared = {"candidate": policy.models.candidate, "base": policy.models.base}
    return {role: backend for role, backend in declared.items() if isinstance(getattr(backend, "meter", None), Meter)}


def refuse_sending(policy: Policy) -> None:
    """One forbidden dataset is enough, as with embedders; said when the policy is loaded, and again before sending.

    Raises:
        AuditkitError: a served model would be asked texts of a dataset that must not leave this machine.
    """
    data = policy.model_dump(mode="json", include={"attacks", "probes", "mitigations"})
    forbidden = [section.name for section in policy.datasets if section.external_processing != "allow"]
    for role, backend in served(policy).items():
        if forbidden and backend.external and sends_records(data, role):
            raise AuditkitError(
                f"the {role} is asked texts of the data over the network, which {', '.join(forbidden)} forbids",
                "serve the model on this machine, or set external_processing: allow",
            )


def unreached(policy: Policy) -> list[str]:
    """Where the planned release lets people closer to the model than this audit comes."""
    reach, release = policy.models.candidate.reach, policy.release.attacker
    if ATTACKERS.index(reach) <= ATTACKERS.index(release):
        return []
    return [f"The model was reached as {reach} alone, and the release invites {release}, who can do more."]


def metered(context: Context) -> Context:
    """The same run, with what its served models cost counted, and held to the budget."""
    found = {role: metered_model(context, role, backend) for role, backend in served(context.policy).items()}
    if not found:
        return context
    models = context.policy.models.model_copy(update=found)
    return replace(context, policy=context.policy.model_copy(update={"models": models}))


def raise_budget(log: EventLog, usd: float, tokens: int) -> None:
    """Let a run that is resumed spend more; on the record."""
    if usd or tokens:
        log.append(RAISED, usd=usd, tokens=tokens)


def spent_on(log: EventLog, role: str) -> Spent:
    """What was spent on a model so far."""
    return sum((_spent(event) for event in log.recorded(ASKED) if event["role"] == role), Spent())


def served_facts(context: Context, role: str) -> dict[str, Any]:
    """What the report says of a served model: what it took, and what the server called itself."""
    backend = served(context.policy).get(role)
    return {} if backend is None else facts_of(context, role, backend)


def facts_of(context: Context, role: str, backend: Any) -> dict[str, Any]:
    """What a served model took in this role, and what the server called itself."""
    spent = spent_on(context.log, role)
    said = [event for event in context.log.recorded(SAID) if event["role"] == role]
    names = list(dict.fromkeys(f"{event['model']} {event['fingerprint']}".strip() for event in said))
    return {
        **asdict(spent),
        "usd": round(backend.prices.usd(spent), 6),
        "answered_as": names,
    }


def metered_model(context: Context, role: str, backend: Any) -> ModelBackend:
    """A served model, counted and kept under this role."""
    log = context.log

    def note(spent: Spent) -> None:
        log.append(ASKED, role=role, **asdict(spent))

    meter = Meter(_budget(log, backend.budget), backend.prices, spent_on(log, role), note, _said(log, role))
    found: ModelBackend = backend.metered(meter, Kept(context.run.shared_work / f"answers-{role}.sqlite"))
    return found


def _said(log: EventLog, role: str) -> Callable[[str, str], None]:
    """Told once in a run, also where that is resumed."""
    known = {(event["role"], event["model"], event["fingerprint"]) for event in log.recorded(SAID)}

    def said(model: str, fingerprint: str) -> None:
        if (role, model, fingerprint) not in known:
            log.append(SAID, role=role, model=model, fingerprint=fingerprint)

    return said


def _budget(log: EventLog, declared: Budget | None) -> Budget | None:
    more = log.recorded(RAISED)
    return raised(declared, sum(event["usd"] for event in more), sum(event["tokens"] for event in more))


def _spent(event: dict[str, Any]) -> Spent:
    return Spent(event["requests"], event["input_tokens"], event["output_tokens"])
