"""What the candidate said already is not sampled again: an arm of its weights asks the same with the same seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.context import Context
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import LanguageModel, TokenGuard
from auditkit.records import Generation, SamplingRequest


class RecordedModel(ServedModel):
    """The candidate, with the baseline's generations in place of samples where the request is one of the baseline's.

    A sample hangs on the request alone, so that the two are the same; whatever changes how the model writes has to ask
    the model itself.
    """

    def __init__(self, inner: LanguageModel, baseline: Context) -> None:
        super().__init__(inner)
        self._baseline = baseline
        # An attack with a way of its own of asking keeps what it made of the answers, not the answers.
        plain = (attack for attack in baseline.policy.prefix_attacks if type(attack).run is Attack.run)
        self._attacks = {attack.label: attack for attack in plain}
        self._requests: dict[str, set[SamplingRequest]] = {}

    def sample(self, request: SamplingRequest) -> list[Generation]:
        if request not in self._known(request.attack):
            return self.inner.sample(request)
        wanted = range(request.first_ordinal, request.first_ordinal + request.count)
        path = self._baseline.run.generations_file(request.attack)
        return [one for batch in generations.read(path, only=wanted) for one in batch]

    def guarded(self, guard: TokenGuard) -> LanguageModel:
        return self.inner.guarded(guard)

    def with_network(self, change: Callable[[Any], Any]) -> LanguageModel:
        return self.inner.with_network(change)

    def _known(self, name: str) -> set[SamplingRequest]:
        """The requests that the baseline's attack of this name was made of."""
        if name not in self._requests:
            attack = self._attacks.get(name)
            size = self._baseline.policy.models.candidate.batch_size
            made = attack.requests(attack.prefixes(self.inner), size) if attack else ()
            self._requests[name] = set(made)
        return self._requests[name]
