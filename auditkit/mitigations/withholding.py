"""A server that gives out no text which matches a dataset: the whole output is compared, and withheld where it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Measure, Workshop
from auditkit.mitigations.refusals import withheld
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import Ids, LanguageModel
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest


@dataclass(frozen=True)
class Matcher:
    """What counts as a match: a similarity of at least ``thresholds[dataset]`` to any record of the dataset."""

    workshop: Workshop
    measure: Measure
    thresholds: dict[str, float]

    @classmethod
    def of(cls, workshop: Workshop, measure: Measure, threshold: float | None) -> Matcher:
        """With one threshold for all datasets, or (None) with what each was calibrated to.

        Raises:
            MitigationFailedError: a dataset has no calibrated threshold.
        """
        if threshold is not None:
            return cls(workshop, measure, {dataset.name: threshold for dataset in workshop.datasets})
        known = {dataset.name: dataset.threshold for dataset in workshop.datasets if dataset.threshold is not None}
        if missing := [dataset.name for dataset in workshop.datasets if dataset.name not in known]:
            raise MitigationFailedError(
                f"the filter has no threshold for {', '.join(missing)}: its controls were too few to calibrate one",
                "declare more controls, or give the filter a number as threshold",
            )
        return cls(workshop, measure, known)

    def matches(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """(texts,) whether each matches a dataset; an empty one matches nothing."""
        found = np.zeros(len(texts), bool)
        given = np.flatnonzero([bool(text.strip()) for text in texts])
        for dataset, threshold in self.thresholds.items() if given.size else ():
            similar = self.workshop.similarity(dataset, [texts[at] for at in given.tolist()], self.measure)
            found[given] |= similar >= threshold
        return found


class WithholdingModel(ServedModel):
    """Answers with a refusal in place of an output that matches. Each request's output is judged by itself."""

    def __init__(self, inner: LanguageModel, matcher: Matcher, refusal: str) -> None:
        super().__init__(inner)
        self.matcher, self.refusal = matcher, refusal

    def sample(self, request: SamplingRequest) -> list[Generation]:
        """Cut outputs are judged as well: they go out, too."""
        found = self.inner.sample(request)
        blocked = self.matcher.matches([generation.view("record") for generation in found])
        return [withheld(one, self.refusal) if bad else one for one, bad in zip(found, blocked, strict=True)]

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        """What is completed is judged without its prompt, as the answer that goes out."""
        found = self.inner.complete(prefixes, sampler, seed)
        blocked = self.matcher.matches([self.inner.decode(ids) for ids in found])
        refusal = self.inner.encode(self.refusal)
        return [refusal if bad else ids for ids, bad in zip(found, blocked, strict=True)]
