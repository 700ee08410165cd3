"""What ``auditkit check`` says of models that are only served: what they may cost, and what they are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from auditkit.attacks.base import Attack
from auditkit.attacks.segmented_prefix import SegmentedPrefix
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.reading_plan import readings_of
from auditkit.auditing.spending import served
from auditkit.policy.schema import Policy
from auditkit.policy.served_checks import sends_records
from auditkit.probes.base import ModelProbe
from auditkit.remote.budget import Spent

CHARACTERS_PER_TOKEN = 4
PREFIX_TOKENS = 64  # of a template's opening, or of a message with what the server puts around it


def what_it_costs(policy: Policy, datasets: Sequence[PreparedDataset]) -> Iterator[tuple[str, str]]:
    """A sentence for each served model, and a warning ("" for none) where it may not fit the budget."""
    for role, backend in served(policy).items():
        yield told_of(role, backend, most_spent(policy, datasets, role))


def told_of(role: str, backend: Any, most: Spent) -> tuple[str, str]:
    """What a served model may cost in this role, and a warning where that may not fit its budget."""
    usd, budget = backend.prices.usd(most), backend.budget
    told = (
        f"{role}: at most about {most.requests:,} requests, {most.input_tokens:,} tokens of prompts and "
        f"{most.output_tokens:,} of answers"
    )
    told += f", {usd:,.2f} US dollars by the policy's prices" if usd else ", at no stated price"
    warning = ""
    if budget and ((budget.usd and usd > budget.usd) or (budget.tokens and most.tokens > budget.tokens)):
        warning = f"{role}: the budget may not do: the run would stop there, and can be gone on with"
    elif backend.external and not budget:
        warning = f"{role}: no budget is set for a model that is not on this machine"
    return told, warning


def what_it_is_sent(policy: Policy) -> Iterator[str]:
    """What leaves this machine for served models; nothing for those on it."""
    data = policy.model_dump(mode="json", include={"attacks", "probes", "mitigations"})
    for role, backend in served(policy).items():
        if not backend.external:
            continue
        if sends_records(data, role):
            names = ", ".join(section.name for section in policy.datasets)
            yield f"texts of {names} are sent to {backend.address}, where the {role} is served"
        if role == "candidate":
            yield (
                f"prompts that hold no text of the data, and what the model itself wrote, are sent to {backend.address}"
            )


def most_spent(policy: Policy, datasets: Sequence[PreparedDataset], role: str) -> Spent:
    """The dearest that a run can come to, every answer of full length; arms included."""
    found = Spent()
    if role == "candidate":
        arms = 1 + len(policy.arms)
        n = served(policy)[role].n
        for attack in policy.prefix_attacks * arms:
            found += _of_attack(attack, n)
        for probe in policy.record_probes:
            if isinstance(probe, ModelProbe):
                found += _of_probe(probe, datasets)
    for reading in readings_of(policy):
        if reading.role == role:
            passes = 2 if reading.under.startswith("attack:") else 1
            found += _of_reading(datasets, passes)
    return found


def _of_attack(attack: Attack, n: int) -> Spent:
    """Each sample once in a request of ``n``, and once more behind an appended turn change."""
    written = attack.samples * attack.max_new_tokens
    if isinstance(attack, SegmentedPrefix):
        pieces = min(attack.pieces, -(-attack.max_new_tokens // attack.segment))
        asked = attack.samples * pieces
        return Spent(asked, asked * (PREFIX_TOKENS + attack.max_new_tokens // 2), written)
    first = -(-attack.samples // n)
    if not attack.can_be_made_by("chat_api"):
        again = attack.samples * (PREFIX_TOKENS + attack.max_new_tokens)
        return Spent(first + attack.samples, first * PREFIX_TOKENS + again, 2 * written)
    return Spent(first, first * _longest_message(attack), written)


def _longest_message(attack: Any) -> int:
    messages = getattr(attack, "messages", ()) or ("",)
    return PREFIX_TOKENS + max(map(len, messages)) // CHARACTERS_PER_TOKEN


def _of_probe(probe: Any, datasets: Sequence[PreparedDataset]) -> Spent:
    """Of each side so many records as the probe draws, under each of its instructions or samples."""
    times = getattr(probe, "samples", 1) + 1
    found = Spent()
    for data in datasets:
        for side in (data.members, data.controls):
            texts = list(side.texts("record"))
            records = min(getattr(probe, "records", len(texts)), len(texts))
            mean = sum(map(len, texts)) // max(1, len(texts)) // CHARACTERS_PER_TOKEN
            asked = records * times
            found += Spent(asked, asked * (PREFIX_TOKENS + mean), asked * getattr(probe, "max_new_tokens", 1))
    return found


def _of_reading(datasets: Sequence[PreparedDataset], passes: int) -> Spent:
    texts = [text for data in datasets for side in (data.members, data.controls) for text in side.texts("record")]
    asked = passes * len(texts)
    return Spent(asked, asked * PREFIX_TOKENS + passes * sum(map(len, texts)) // CHARACTERS_PER_TOKEN, asked)
