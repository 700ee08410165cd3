"""The generation stage: every attack's requests, each kept on disk as soon as it is sampled."""

from __future__ import annotations

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.context import Context
from auditkit.auditing.open_model import OpenModel
from auditkit.models.base import LanguageModel


def generate(context: Context, candidate: OpenModel) -> None:
    """Sample what is not yet on disk. A run that has it all does not even open the model."""
    for attack in context.policy.prefix_attacks:
        if not context.run.generations_file(attack.label).exists():
            _run_attack(context, attack, candidate.model)


def _run_attack(context: Context, attack: Attack, model: LanguageModel) -> None:
    prefixes = attack.prefixes(model)
    requests = list(attack.requests(prefixes, context.policy.models.candidate.batch_size))
    parts = [generations.part_file(context.run.work, request) for request in requests]
    done = sum(request.count for request, part in zip(requests, parts, strict=True) if part.exists())
    with context.progress.stage(f"attack {attack.label}", attack.samples, "generations", done) as stage:
        for request, part in zip(requests, parts, strict=True):
            if part.exists():
                continue
            samples = attack.run(model, request)
            generations.write_part(part, samples)
            context.log.append("sampled", attack=attack.label, first=request.first_ordinal, count=len(samples))
            stage.advance(len(samples), sum(len(sample.token_ids) for sample in samples))
    with context.progress.stage(f"put {attack.label} together", len(parts), "parts") as stage:
        target = context.run.generations_file(attack.label)
        generations.merge(parts, target, attack.label, prefixes, stage.advance)
    context.log.append("attack_finished", attack=attack.label, generations=attack.samples)
