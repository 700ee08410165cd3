from __future__ import annotations

import math

import pytest

pytest.importorskip("opacus")

from auditkit.training.privacy import epsilon, noise_for

SLACK = 0.03  # the composition accountant's own error is 0.01, either way


@pytest.mark.parametrize(("noise", "rate", "steps"), [(0.8, 0.02, 40), (1.5, 0.3, 20), (4.0, 0.5, 60)])
def test_epsilon_grows_with_the_epochs_and_falls_with_the_noise(noise: float, rate: float, steps: int) -> None:
    here = epsilon(noise, rate, steps, 1e-4)
    assert here > 0
    assert epsilon(noise, rate, steps * 3, 1e-4) > here + SLACK
    assert epsilon(noise * 1.5, rate, steps, 1e-4) < here - SLACK


def test_whole_batches_without_sampling_cost_what_the_gaussian_mechanism_costs() -> None:
    """One step at rate 1 with noise 2 is the Gaussian mechanism; its exact epsilon at 1e-5 [Balle & Wang 2018]."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    def delta(eps: float, sigma: float = 2.0) -> float:
        low, high = norm.cdf(0.5 / sigma - eps * sigma), norm.cdf(-0.5 / sigma - eps * sigma)
        return float(low - math.exp(eps) * high)

    exact = brentq(lambda eps: delta(eps) - 1e-5, 0.01, 10)
    assert exact <= epsilon(2.0, 1.0, 1, 1e-5) <= exact + 0.05


def test_no_noise_promises_nothing() -> None:
    assert epsilon(0.0, 0.1, 10, 1e-5) == math.inf
    assert epsilon(0.05, 0.5, 20, 1e-5) > 100


@pytest.mark.parametrize("target", [0.5, 8.0])
def test_the_noise_that_is_found_keeps_the_promise_without_wasting_much(target: float) -> None:
    noise = noise_for(target, 0.1, 200, 1e-5)
    assert 0.8 * target < epsilon(noise, 0.1, 200, 1e-5) <= target
