"""Paper A's claims: properties on drawn cases, saved counterexamples, and faults that show."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.claims import a_grids, a_posterior, a_times, channel
from benchmarks.claims.cases import Case, random_case
from benchmarks.claims.ledger import Claim, verify
from benchmarks.claims.paper_a import CLAIMS
from tests.strategies import seeds
from toys.information import information
from toys.mixture import Mixture

BY_ID = {claim.id: claim for claim in CLAIMS}
SLOW = {"A.thm5.1.rescaled", "A.thm5.2", "A.thm5.2.rescaled", "A.13.final", "A.23", "A.h3"}
PROPERTIES = [c for c in CLAIMS if c.domain != "none" and not c.command and c.id not in SLOW]


@pytest.mark.parametrize("claim", PROPERTIES, ids=lambda c: c.id)
@given(seed=seeds)
@settings(max_examples=2)
def test_claim_holds_on_any_case(claim: Claim, seed: int) -> None:
    measure = claim.corrected or claim.measure
    assert measure(random_case(claim.domain, seed, claim.low, claim.high)).value <= claim.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
@given(seed=seeds)
@settings(max_examples=2)
def test_slow_claim_holds_on_any_case(name: str, seed: int) -> None:
    claim = BY_ID[name]
    case = random_case(claim.domain, seed, claim.low, claim.high)
    assert claim.measure(case).value <= claim.tolerance


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.routes], ids=lambda c: c.id)
def test_counterexample_is_repeated_by_two_routes(claim: Claim) -> None:
    assert verify(claim).good


@given(seed=seeds, log_sigma=st.floats(-3.0, 3.0))
@settings(max_examples=20)
def test_pointwise_identities_hold_at_every_level(seed: int, log_sigma: float) -> None:
    """Equations (4), (27), (34) at a noise level that hypothesis chooses."""
    drawn = random_case("line", seed)
    sigmas = 10.0**log_sigma * np.array([2.0, 1.0])
    case = Case(drawn.name, drawn.toy, sigmas, drawn.wrong, seed)
    for measure in (
        channel.score_from_kernel,
        partial(a_posterior.covariance_with_scale, of="denoiser"),
        channel.covariance_from_hessian,
    ):
        assert measure(case).value < 1e-9


def scaled(factor: float, func: Callable[..., object]) -> Callable[..., object]:
    return lambda *args, **kwargs: factor * np.asarray(func(*args, **kwargs))


@pytest.mark.parametrize(
    ("name", "place", "target"),
    [
        ("A.4", Mixture, "score"),
        ("A.12", information, "mmse"),
        ("A.13", information, "mmse"),
        ("A.15", information, "entropy_rate"),
        ("A.34", Mixture, "posterior_variance"),
        ("A.39.hessian", Mixture, "posterior_variance"),
        ("A.37", Mixture, "denoise"),
        ("A.alg2", a_grids.Profile, "rescaled_entropy"),
        ("A.8", information, "differential_entropy"),
        ("A.7.line", information, "mutual_information"),
        ("A.6.law", a_grids, "table_variances"),
        ("A.23", a_grids, "gaussian_rescaled_entropy"),
        ("A.ddim_time", a_times.sampling, "walk_states"),
    ],
)
def test_a_factor_in_the_engine_shows(
    monkeypatch: pytest.MonkeyPatch, name: str, place: object, target: str
) -> None:
    claim = BY_ID[name]
    case = random_case(claim.domain, 3, claim.low, claim.high)
    assert claim.measure(case).value <= claim.tolerance
    monkeypatch.setattr(place, target, scaled(1.0 + 1e-6, getattr(place, target)))
    assert claim.measure(case).value > claim.tolerance


def test_the_sine_grid_is_what_the_time_change_says() -> None:
    """Levels uniform in sigma / sqrt(sigma^2 + c^2), ends exact to rounding."""
    sigmas = a_grids.sine_sigmas(7, 30.0, 0.01, 0.6)
    u = sigmas / np.hypot(sigmas, 0.6)
    np.testing.assert_allclose(np.diff(u), np.diff(u)[0], rtol=1e-9)
    assert sigmas[0] == pytest.approx(30.0, rel=1e-12)
    assert sigmas[-1] == pytest.approx(0.01, rel=1e-9)


def test_fine_grids_lose_what_the_limit_says() -> None:
    """N times the loss tends to 4 c^2 V_end (int da / V^(3/2))^2, of all grids the least."""
    c, high, low = 0.7, 10.0, 0.05
    span = (high / np.hypot(high, c) - low / np.hypot(low, c)) / c**2
    limit = 4.0 * c**2 * (low**2 + c**2) * span**2
    first, second = (
        n * a_grids.stochastic_loss(a_grids.sine_sigmas(n, high, low, c), c) for n in (2000, 4000)
    )
    assert 2.0 * second - first == pytest.approx(limit, rel=1e-5)
    assert (
        4000 * a_grids.stochastic_loss(a_grids.arctan_sigmas(4000, high, low, c=c), c) > limit * 1.1
    )
