"""The generation stage: every attack's requests, each kept on disk as soon as it is sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.context import Context
from auditkit.auditing.generate_elsewhere import SamplesElsewhere
from auditkit.auditing.open_model import OpenModel
from auditkit.records import Generation, Prefix, SamplingRequest


@dataclass(frozen=True)
class SamplesHere:
    """This process holds the model, and opens it when it is first asked for something."""

    candidate: OpenModel

    def prefixes(self, attack: Attack) -> list[Prefix]:
        """The literal prefixes of an attack on this model."""
        return attack.prefixes(self.candidate.model)

    def drawn(self, attack: Attack, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Generation]]]:
        """(position of the request, its samples), one after the other."""
        for position, request in enumerate(requests):
            yield position, attack.run(self.candidate.model, request)


def generate(context: Context, candidate: OpenModel) -> None:
    """Sample what is not yet on disk. A run that has it all does not even open the model."""
    attacks = context.policy.prefix_attacks
    left = [attack for attack in attacks if not context.run.generations_file(attack.label).exists()]
    if not left:
        return
    workers = context.workers("generate") if candidate.bare else None
    samples = SamplesElsewhere(context, candidate.backend, left, workers) if workers else SamplesHere(candidate)
    for attack in left:
        _run_attack(context, attack, samples)


def _run_attack(context: Context, attack: Attack, samples: SamplesHere | SamplesElsewhere) -> None:
    prefixes = samples.prefixes(attack)
    requests = list(attack.requests(prefixes, context.policy.models.candidate.batch_size))
    parts = [generations.part_file(context.run.work, request) for request in requests]
    left = [(request, part) for request, part in zip(requests, parts, strict=True) if not part.exists()]
    done = attack.samples - sum(request.count for request, _ in left)
    with context.progress.stage(f"attack {attack.label}", attack.samples, "generations", done) as stage:
        for position, drawn in samples.drawn(attack, [request for request, _ in left]):
            request, part = left[position]
            generations.write_part(part, drawn)
            context.log.append("sampled", attack=attack.label, first=request.first_ordinal, count=len(drawn))
            stage.advance(len(drawn), sum(len(sample.token_ids) for sample in drawn))
    with context.progress.stage(f"put {attack.label} together", len(parts), "parts") as stage:
        target = context.run.generations_file(attack.label)
        generations.merge(parts, target, attack.label, prefixes, stage.advance)
    context.log.append("attack_finished", attack=attack.label, generations=attack.samples)
