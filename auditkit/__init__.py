"""auditkit: does this model give away the data that it was aligned with?

The public API. Everything is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditkit.auditing.runner import audit as audit
    from auditkit.models.chat_template import template_prefix as template_prefix
    from auditkit.models.sequences import sequence_logprobs as sequence_logprobs
    from auditkit.policy.load import load_policy as load_policy
    from auditkit.scoring.strings.best import best_string_matches as best_string_matches
    from auditkit.scoring.vectors.index import best_vector_matches as best_vector_matches
    from auditkit.signing.verify import verify as verify
    from auditkit.statistics.extraction import log10_queries_to_extract as log10_queries_to_extract
    from auditkit.statistics.extraction import queries_to_extract as queries_to_extract
    from auditkit.statistics.intervals import clopper_pearson as clopper_pearson

__version__ = "0.1.0"

_PUBLIC = {
    "audit": "auditkit.auditing.runner",
    "verify": "auditkit.signing.verify",
    "load_policy": "auditkit.policy.load",
    "template_prefix": "auditkit.models.chat_template",
    "best_string_matches": "auditkit.scoring.strings.best",
    "best_vector_matches": "auditkit.scoring.vectors.index",
    "clopper_pearson": "auditkit.statistics.intervals",
    "queries_to_extract": "auditkit.statistics.extraction",
    "log10_queries_to_extract": "auditkit.statistics.extraction",
    "sequence_logprobs": "auditkit.models.sequences",
}

__all__ = [
    "__version__",
    "audit",
    "best_string_matches",
    "best_vector_matches",
    "clopper_pearson",
    "load_policy",
    "log10_queries_to_extract",
    "queries_to_extract",
    "sequence_logprobs",
    "template_prefix",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'auditkit' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
