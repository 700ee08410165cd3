"""Which passes over the data the probes need, each made once, and what stands before the records in each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from auditkit.auditing.context import Context
from auditkit.auditing.open_model import OpenModel
from auditkit.files import write_bytes
from auditkit.models.base import LanguageModel
from auditkit.policy.schema import Policy
from auditkit.probes.base import LikelihoodProbe, Reading
from auditkit.records import Prefix, TurnFormat


@dataclass(frozen=True)
class SharedPrefix:
    """A prefix of the candidate, as text: a base model reads the same text in its own tokens.

    ``share`` is the part of the attack's samples that begin with it.
    """

    name: str
    text: str
    share: float


@dataclass(frozen=True)
class Surroundings:
    """What the candidate's template puts around a record: prefixes by ``Reading.under``, and the marks of turns."""

    prefixes: dict[str, list[SharedPrefix]]
    turns: TurnFormat | None


def readings_of(policy: Policy) -> list[Reading]:
    """Every pass once, asking for all that any probe asks of it; in a fixed order."""
    wanted = [reading for probe in policy.probes if isinstance(probe, LikelihoodProbe) for reading in probe.readings()]
    merged: dict[tuple[str, str, str], Reading] = {}
    for reading in wanted:
        made = replace(reading, under=_pass_for(policy, reading, wanted))
        known = merged.get(_key(made), made)
        merged[_key(made)] = replace(
            known, moments=known.moments or made.moments, sampled=known.sampled or made.sampled
        )
    return [merged[key] for key in sorted(merged)]


def pass_of(policy: Policy, reading: Reading) -> tuple[Reading, bool]:
    """The pass that answers a reading, and whether its first prefix alone is meant.

    Raises:
        KeyError: no probe of the policy asked for it.
    """
    passes = {_key(made): made for made in readings_of(policy)}
    if (own := passes.get(_key(reading))) is not None:
        return own, False
    return passes[reading.role, f"attack:{_through_template(policy)}", reading.rendering], True


def _key(reading: Reading) -> tuple[str, str, str]:
    return reading.role, reading.under, reading.rendering


def _pass_for(policy: Policy, reading: Reading, wanted: list[Reading]) -> str:
    """The template's opening is an attack's first prefix: where that attack's passes are made anyhow, they serve."""
    attack = f"attack:{_through_template(policy)}"
    shared = any(_key(other) == (reading.role, attack, reading.rendering) for other in wanted)
    return attack if reading.under == "template" and shared else reading.under


def _through_template(policy: Policy) -> str | None:
    """The first attack that samples through the chat template, by name."""
    attack = policy.through_template
    return attack.label if attack else None


def surroundings(context: Context, candidate: OpenModel) -> Surroundings:
    """Asked of the candidate once, then kept: the base model's passes may be resumed without it."""
    path = context.run.prefixes_file()
    if not path.exists():
        found = _asked(context.policy, candidate.probed)
        write_bytes(path, json.dumps(asdict(found), ensure_ascii=False, indent=1).encode())
    kept: dict[str, Any] = json.loads(path.read_bytes())
    prefixes = {under: [SharedPrefix(**prefix) for prefix in found] for under, found in kept["prefixes"].items()}
    return Surroundings(prefixes, TurnFormat(**kept["turns"]) if kept["turns"] else None)


def prefix_for(model: LanguageModel, under: str, shared: SharedPrefix) -> Prefix:
    """A prefix in a model's own tokens; BOS is each model's own."""
    if under == "bos":
        return model.bos_prefix()
    return replace(model.literal_prefix(shared.text), name=shared.name)


def _asked(policy: Policy, model: LanguageModel) -> Surroundings:
    bos = model.bos_prefix()
    prefixes = {"bos": [SharedPrefix("bos", bos.text, 1.0)]}
    wanted = {reading.under for reading in readings_of(policy)} | {f"attack:{_through_template(policy)}"}
    for attack in policy.prefix_attacks:
        if f"attack:{attack.label}" not in wanted:
            continue
        found = attack.prefixes(model)
        shares = _shares(attack.samples, len(found))
        prefixes[f"attack:{attack.label}"] = [
            SharedPrefix(prefix.name, prefix.text, share) for prefix, share in zip(found, shares, strict=True)
        ]
    if any(reading.under == "template" for reading in readings_of(policy)) or _through_template(policy):
        prefixes["template"] = [_template(policy, model, prefixes)]
    return Surroundings(prefixes, model.turn_format())


def _template(policy: Policy, model: LanguageModel, prefixes: dict[str, list[SharedPrefix]]) -> SharedPrefix:
    """The opening that the first attack through the template uses; else the template's own."""
    if (attack := _through_template(policy)) is not None:
        return replace(prefixes[f"attack:{attack}"][0], share=1.0)
    prefix = model.opening()
    return SharedPrefix(prefix.name, prefix.text, 1.0)


def _shares(samples: int, prefixes: int) -> list[float]:
    """How an attack shares its samples out; see ``Attack.requests``."""
    share, rest = divmod(samples, prefixes)
    return [(share + (position < rest)) / samples for position in range(prefixes)]
