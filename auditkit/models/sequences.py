"""Log-probabilities of texts under an open model, for callers of the Python API."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from auditkit.models.base import LanguageModel
from auditkit.records import Prefix


def sequence_logprobs(model: LanguageModel, texts: Sequence[str], prefix: Prefix | str) -> npt.NDArray[np.float64]:
    """(n,) natural logarithms of the probability of each text's tokens after the prefix, summed over the text.

    The first token counts, padding never does. ``prefix`` may be literal text, special tokens recognised; prefix and
    text are tokenised apart.

    Raises:
        ValueError: a text without tokens.
        ModelError: a text longer than the model's context.
    """
    found = model.literal_prefix(prefix) if isinstance(prefix, str) else prefix
    return model.sequence_logprobs(texts, found)
