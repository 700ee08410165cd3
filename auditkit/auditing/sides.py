"""The two sides of one view of one dataset, as vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from auditkit.auditing.prepare import PreparedDataset
from auditkit.records import View
from auditkit.scoring.base import Vectors


@dataclass(frozen=True)
class Sides:
    """Members (records, d) and controls (controls, d), in corpus order; ``embed`` embeds more texts as these were."""

    dataset: PreparedDataset
    view: View
    members: Vectors
    controls: Vectors
    embed: Callable[[Sequence[str]], Vectors]

    @cached_property
    def evaluation(self) -> Vectors:
        """(evaluation controls, d): those that did not set the threshold."""
        return np.asarray(self.controls)[self.dataset.evaluation]
