"""What differentially private training costs and promises: epsilon from noise, sampling and steps, by Opacus."""

from __future__ import annotations

import hashlib
import hmac
import warnings
from dataclasses import dataclass
from typing import Any

from auditkit.training.libraries import privacy_library

TIGHTER_BELOW = 20.0  # epsilon; above it, the tighter accountant takes minutes and gigabytes


@dataclass(frozen=True)
class Privacy:
    """How much noise hides one record.

    Attributes:
        noise_multiplier: standard deviation of the noise, in units of ``max_norm``.
        max_norm: to which the gradient of each record is clipped, over all weights that are trained.
        key: secret; who knows it knows the noise. Bytes of one key serve one training.
        rows_at_once: records whose gradients are in memory together.
    """

    noise_multiplier: float
    max_norm: float
    key: bytes
    rows_at_once: int = 8

    def seed(self, purpose: str, step: int) -> int:
        """Of what is drawn for this purpose in this step: the same when an interrupted training goes on."""
        digest = hmac.digest(self.key, f"{purpose}/{step}".encode(), hashlib.sha256)
        return int.from_bytes(digest[:8]) >> 1


def epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The epsilon of (epsilon, delta)-differential privacy for adding or removing one record; an upper bound.

    That of the Rényi accountant [Mironov 2019], or of numerical composition [Gopi 2021] where that is lower. May be
    infinite.

    Args:
        noise_multiplier: standard deviation of the noise over the clipping norm.
        sample_rate: the chance of each record to be in a step's batch (Poisson sampling).
        steps: how many.
        delta: the chance that the promise does not hold, above 0.

    Raises:
        MissingExtraError: Opacus is not installed.
    """
    if not noise_multiplier:
        return float("inf")
    loose = _epsilon("rdp", noise_multiplier, sample_rate, steps, delta)
    return min(loose, _epsilon("prv", noise_multiplier, sample_rate, steps, delta)) if loose < TIGHTER_BELOW else loose


def noise_for(target: float, sample_rate: float, steps: int, delta: float) -> float:
    """The noise multiplier with which ``epsilon`` is at most ``target``.

    Raises:
        ValueError: no noise is enough.
        MissingExtraError: Opacus is not installed.
    """
    search = privacy_library().accountants.utils.get_noise_multiplier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            search(
                target_epsilon=target,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant="rdp",
                epsilon_tolerance=min(0.01, target / 100),
            )
        )


def _epsilon(mechanism: str, noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    accountant: Any = privacy_library().accountants.create_accountant(mechanism=mechanism)
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimal order is the largest or smallest tried: the bound holds
        return float(accountant.get_epsilon(delta=delta))
