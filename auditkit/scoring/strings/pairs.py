"""What makes two texts similar, and the exact measurement of pairs.

Similarities are ratios of whole numbers of edits, so that no rounding at the floor can lose or invent a match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from auditkit.errors import AuditkitError

Measure = Literal["levenshtein", "indel"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

Similarities = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PAIRS_AT_ONCE = 1 << 18
SLACK = 1e-9  # 1 - 7 / 100 is a little less than 0.93; a true difference is a multiple of 1 / length, far more


@dataclass(frozen=True)
class Bar:
    """What counts as similar: a measure, and the least similarity in [0, 1].

    Raises:
        AuditkitError: an unknown measure, or a floor outside [0, 1].
    """

    measure: Measure
    floor: float

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise AuditkitError(f"no string measure is called {self.measure!r}", f"one of: {', '.join(MEASURES)}")
        if not 0 <= self.floor <= 1:
            raise AuditkitError(f"a similarity floor of {self.floor} is impossible", "give a number from 0 to 1")

    @property
    def lowest(self) -> float:
        """What a rounded similarity has at least, if the true one reaches the floor."""
        return max(0.0, self.floor - SLACK)

    def full_distance(self, a: Integers, b: Integers) -> Integers:
        """The most edits that texts of these lengths can take: what a similarity is relative to."""
        return np.maximum(a, b) if self.measure == "levenshtein" else a + b

    def allowed_edits(self, full: Integers) -> Integers:
        """At least as many edits as the floor allows; what is too many by rounding is dropped by its similarity."""
        allowed: Integers = np.floor((1 - self.lowest) * full + 1e-6).astype(np.int64)
        return allowed

    def length_ratio(self) -> float:
        """The least shorter / longer length: at best the shorter text is contained in the longer one.

        The similarity is then s / l (Levenshtein) or 2 s / (s + l) (Indel).
        """
        return self.lowest if self.measure == "levenshtein" else self.lowest / (2 - self.lowest)


def reaches(similarity: Similarities, threshold: float) -> npt.NDArray[np.bool_]:
    """(n,) whether a similarity is at least the threshold, as the fractions that both stand for.

    Everything that compares string similarities compares them with this, so that none is a match here and not there.
    """
    reached: npt.NDArray[np.bool_] = np.asarray(similarity) >= threshold - SLACK
    return reached


def as_similarity(edits: Integers, full: Integers) -> Similarities:
    """1 - edits / full; two empty texts are equal."""
    similarity: Similarities = 1.0 - edits / np.maximum(full, 1)
    return similarity


def distances(a: list[str], b: list[str], measure: Measure, most: int | None = None, threads: int = -1) -> Integers:
    """(n,) edits between the pairs; above ``most`` any larger number. ``threads``: -1 for one a core."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel, Levenshtein

    scorer = (Levenshtein if measure == "levenshtein" else Indel).distance
    found = process.cpdist(a, b, scorer=scorer, score_cutoff=most, workers=threads, dtype=np.int64)
    return np.asarray(found, dtype=np.int64)
