"""The sampling loop for engines that write many continuations at once: a stretch each, up to a token of account.

An engine stops a sample where it writes a stop token, or one that may end its turn. Those that go on, with the turn
change behind them or without, are handed to it again, all in one call. What is decided at such a token is decided by
`next_step`, as in the loop of the transformers backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from auditkit.models.delimiters import Decode, Delimiters, Ids
from auditkit.models.sample import Sample
from auditkit.models.turns import next_step
from auditkit.records import Generation, SamplingRequest
from auditkit.statistics.draws import derived_seed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Continuations to be written: ``copies`` of them behind ``ids``, copy i drawn with ``seed`` + i.

    A continuation is of at least one and at most ``most`` tokens; the stop token that ends it is its last. The first
    ``prompt`` of the ids are the prompt's own, the others were written before.
    """

    ids: Ids
    most: int
    seed: int
    copies: int = 1
    prompt: int = 0


Write = Callable[[Sequence[Wanted]], list[list[Ids]]]  # for each wanted its copies


def stretch_seed(*parts: object) -> int:
    """A seed with room behind it for the copies of one request."""
    return derived_seed(*parts) >> 1


@dataclass(frozen=True)
class BulkSampling:
    """One request. ``limit``: new tokens of a sample at most; ``marks.events`` are the tokens to stop at.

    ``exhausted`` says whether a guard leaves no token behind these ids: what the engine wrote there is dropped, and
    the sample ends, as in the transformers backend.
    """

    request: SamplingRequest
    marks: Delimiters
    decode: Decode
    limit: int
    write: Write
    exhausted: Callable[[Sequence[int]], bool] = lambda _: False

    @property
    def start(self) -> int:
        """Where the generated ids begin in a sample's whole sequence."""
        return len(self.request.prefix.token_ids)

    def run(self) -> list[Generation]:
        """Sample to the end."""
        samples = self._first()
        running, stretch = list(range(len(samples))), 1
        while running := [row for row in running if self._goes_on(samples[row])]:
            found = self.write([self._rest(samples[row], row, stretch) for row in running])
            for row, (ids,) in zip(running, found, strict=True):
                samples[row].ids += ids
            stretch += 1
        if self._greedy:
            samples *= self.request.count
        return [sample.generation(self.request, row, self.marks, self.decode) for row, sample in enumerate(samples)]

    @property
    def _greedy(self) -> bool:
        """All samples are one: it is written once."""
        return self.request.sampler.temperature == 0

    def _first(self) -> list[Sample]:
        prefix, copies = self.request.prefix.token_ids, 1 if self._greedy else self.request.count
        wanted = Wanted(prefix, self.limit, stretch_seed("sample", self.request.seed), copies, len(prefix))
        return [Sample([*prefix, *ids]) for ids in self.write([wanted])[0]]

    def _rest(self, sample: Sample, row: int, stretch: int) -> Wanted:
        most = self.start + self.limit - len(sample.ids)
        seed = stretch_seed("stretch", self.request.seed, stretch, row)
        return Wanted(tuple(sample.ids), most, seed, prompt=self.start)

    def _goes_on(self, sample: Sample) -> bool:
        """Whether the model is to write more behind the token at which it stopped; the sample is made ready for it."""
        if sample.ids[-1] in self.marks.events:
            self._look(sample)
        del sample.ids[self.start + self.limit :]
        return sample.finish is None and len(sample.ids) < self.start + self.limit

    def _look(self, sample: Sample) -> None:
        if self.exhausted(sample.ids[:-1]):
            sample.ids.pop()
            sample.finish = "stop"
            return
        after = next_step(sample.ids, self.start, self.marks, self.decode, sample.appended)
        if after.ends:
            sample.finish = "stop"
        elif after.append is not None:
            if after.replace:
                sample.ids.pop()
            sample.appended = (len(sample.ids), len(sample.ids) + len(after.append))
            sample.ids += after.append


def shared_out(wanted: Sequence[Wanted], shares: int) -> list[list[Wanted]]:
    """The same continuations in ``shares`` lists of about as many each, in order; a request's copies may be parted."""
    size = -(-sum(one.copies for one in wanted) // shares)
    found: list[list[Wanted]] = [[]]
    room = size
    for one in wanted:
        while one.copies > room:
            if room:
                found[-1].append(replace(one, copies=room))
            one = replace(one, copies=one.copies - room, seed=one.seed + room)  # noqa: PLW2901
            found.append([])
            room = size
        found[-1].append(one)
        room -= one.copies
    return found
