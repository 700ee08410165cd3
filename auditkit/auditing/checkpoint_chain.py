"""The chain of checkpoints that a policy declares: which models it names, and whether they are of one family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditkit.auditing.policy_lines import problem_at
from auditkit.errors import AuditkitError, PolicyError, Problem
from auditkit.models.base import ModelBackend
from auditkit.policy.schema import Policy
from auditkit.records import ModelIdentity

# What a text becomes is in these files; two folders may differ in what else belongs to a tokenizer.
VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt")


def role_of(name: str) -> str:
    """What reports call the model of a checkpoint."""
    return f"checkpoint {name}"


def place_of_model(policy: Policy, role: str) -> str:
    """Where in the policy the model of a role is declared."""
    places = {role_of(one.name): f"checkpoints.{place}.model" for place, one in enumerate(policy.checkpoints)}
    return places.get(role, f"models.{role}")


def chain_tokens(policy: Policy, one_pass: int) -> tuple[int, int]:
    """(written, read) tokens that the checkpoints before the candidate take at most.

    ``one_pass``: tokens of reading every member and control once.
    """
    earlier = policy.checkpoints[:-1]
    written = sum(
        min(attack.samples, one.samples or attack.samples) * attack.max_new_tokens
        for one in earlier
        for attack in policy.prefix_attacks
    )
    return written, 2 * one_pass * len(earlier)  # behind the template's opening, and behind BOS


def declared_models(policy: Policy) -> list[tuple[str, ModelBackend]]:
    """Role and section of every model that a policy names."""
    named = [("candidate", policy.models.candidate), ("base", policy.models.base)]
    named += [(role_of(one.name), one.model) for one in policy.checkpoints]
    return [(role, backend) for role, backend in named if backend is not None]


def checked_chain(policy: Policy, models: Sequence[ModelIdentity]) -> list[ModelIdentity]:
    """The models without the chain's last, which is the candidate once more.

    Raises:
        PolicyError: the last is another model, or a checkpoint cuts texts into other tokens; at the line of each.
    """
    if problems := list(chain_problems(policy, models)):
        raise PolicyError(problems)
    last = role_of(policy.checkpoints[-1].name) if policy.checkpoints else None
    return [model for model in models if model.role != last]


def chain_problems(policy: Policy, models: Sequence[ModelIdentity]) -> Iterator[Problem]:
    """What is wrong with the chain as its models are; those that are not on this machine yet are not spoken of."""
    known = {model.role: model for model in models}
    candidate = known.get("candidate")
    if candidate is None:
        return
    for place, one in enumerate(policy.checkpoints):
        model = known.get(role_of(one.name))
        if model is None:
            continue
        if not _same_tokens(candidate, model):
            message = f"checkpoint {one.name} has another tokenizer than the candidate, so that no rise can be read"
            hint = "leave it out; or, where both cut texts alike, save the candidate's tokenizer files beside it"
            yield problem_at(policy, f"checkpoints.{place}.model", AuditkitError(message, hint))
        if place == len(policy.checkpoints) - 1 and model.sha256 != candidate.sha256:
            message = f"checkpoint {one.name} is the chain's last, and is not the candidate: its files differ"
            hint = "end the chain with the model that models.candidate names"
            yield problem_at(policy, f"checkpoints.{place}.model", AuditkitError(message, hint))


def _same_tokens(one: ModelIdentity, other: ModelIdentity) -> bool:
    if one.tokenizer_sha256 == other.tokenizer_sha256:
        return True
    files = [{name: model.files.get(name) for name in VOCABULARY_FILES} for model in (one, other)]
    return files[0] == files[1] and any(files[0].values())
