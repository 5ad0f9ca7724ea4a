"""Solver tables: rows against the update rules of their papers in mpmath, and the words."""

import itertools
from collections.abc import Iterator

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.registry import SOLVERS, make_table
from theory.solvers.table import SolverTable

LEVELS = [80.0, 79.999999, 7.0, 1e-3, 1e-8]


@pytest.fixture(autouse=True, scope="module")
def sixty_digits() -> Iterator[None]:
    with mp.workdps(60):
        yield


def test_ddim_rows_are_euler_in_sigma() -> None:
    """dx/dsigma = (x - D) / sigma, one explicit step from a to b."""
    table = ddim_table([*LEVELS, 0.0])
    rng = np.random.default_rng(0)
    for r, (a, b) in enumerate(zip(LEVELS, [*LEVELS[1:], 0.0], strict=True)):
        x, denoised = rng.normal(size=2)
        euler = mp.mpf(x) + (mp.mpf(b) - mp.mpf(a)) * (mp.mpf(x) - mp.mpf(denoised)) / mp.mpf(a)
        row = table.keep[r, 0] * x + table.weights[r, 0] * denoised
        assert row == pytest.approx(float(euler), rel=1e-14, abs=1e-15)
        gap = (mp.mpf(a) - mp.mpf(b)) / mp.mpf(a)
        assert table.weights[r, 0] == pytest.approx(float(gap), rel=1e-15, abs=0)
    assert not table.noise.any()


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.999999, 1.0])
def test_stochastic_rows_are_the_published_ones_to_every_digit(eta: float) -> None:
    """Song et al. 2021, eqs. 12 and 16, in the coordinate x / alpha; 60 digits."""
    table = stochastic_ddim_table(LEVELS, eta=eta)
    for r, (a, b) in enumerate(itertools.pairwise(LEVELS)):
        big, small, share = mp.mpf(a), mp.mpf(b), mp.mpf(eta)
        noise = share * small * mp.sqrt(1 - small**2 / big**2)
        keep = mp.sqrt(small**2 - noise**2) / big
        for ours, exact in ((table.noise[r], noise), (table.keep[r, 0], keep),
                            (table.weights[r, 0], 1 - keep)):  # fmt: skip
            assert ours == pytest.approx(float(exact), rel=2e-15, abs=0)


def test_ancestral_step_matches_the_bridge_to_the_denoised_point() -> None:
    """docs/papers/a.md, Common ground: y <- q y + (1 - q) D + b sqrt(1 - q) z, q = b^2 / a^2."""
    table = stochastic_ddim_table([3.0, 2.0])
    q = 4 / 9
    np.testing.assert_allclose(table.keep, [[q]], rtol=1e-15)
    np.testing.assert_allclose(table.weights, [[1 - q]], rtol=1e-15)
    np.testing.assert_allclose(table.noise, [2 * np.sqrt(1 - q)], rtol=1e-15)


@given(
    seed=st.integers(0, 2**32 - 1),
    eta=st.floats(0.0, 1.0),
    n=st.integers(1, 40),
)
def test_stochastic_rows_keep_the_noise_level(seed: int, eta: float, n: int) -> None:
    """If D is x0, then x0 + a eps goes to x0 + b eps': the marginal law, for every eta."""
    levels = np.sort(np.exp(np.random.default_rng(seed).uniform(-18, 18, n + 1)))[::-1]
    table = stochastic_ddim_table(levels, eta=eta)
    np.testing.assert_allclose(table.keep[:, 0] + table.weights[:, 0], 1.0, rtol=1e-15)
    level = np.hypot(table.keep[:, 0] * levels[:-1], table.noise)
    np.testing.assert_allclose(level, levels[1:], rtol=1e-14)


def test_eta_zero_is_ddim() -> None:
    still, ddim = stochastic_ddim_table(LEVELS, eta=0.0), ddim_table(LEVELS)
    np.testing.assert_allclose(still.keep, ddim.keep, rtol=1e-15)
    np.testing.assert_allclose(still.weights, ddim.weights, rtol=2e-15)
    assert not still.noise.any()


def test_make_table_passes_eta() -> None:
    table = make_table("stochastic_ddim", LEVELS, eta=0.5)
    np.testing.assert_array_equal(table.noise, stochastic_ddim_table(LEVELS, eta=0.5).noise)
    np.testing.assert_array_equal(
        make_table("stochastic_ddim", LEVELS).noise, stochastic_ddim_table(LEVELS, eta=1.0).noise
    )


def rows(**change: object) -> SolverTable:
    """A good table of two rows, with some fields changed."""
    fields = {
        "sigma": [2.0, 3.0],
        "keep": [[1.0], [1.0]],
        "weights": [[0.5, 0.0], [0.5, 0.2]],
        "noise": [0.0, 0.1],
        "start_std": 1.0,
        "end": 0.5,
        "order": 2,
        "n_steps": 1,
    }
    return SolverTable(**{**fields, **change})


def test_a_table_may_have_history_churn_and_two_rows_a_step() -> None:
    table = rows()
    assert (table.nfe, table.n_steps, table.order) == (2, 1, 2)
    with pytest.raises(ValueError, match="read-only"):
        table.keep[0, 0] = 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rows(sigma=[2.0, 0.0]), "sigma must be positive, got 0 at index 1"),
        (lambda: rows(keep=[1.0, 1.0]), "keep must have shape (2, H), got (2,)"),
        (lambda: rows(weights=[[1.0]]), "weights must have shape (2, H), got (1, 1)"),
        (
            lambda: rows(weights=[[0.5, 0.1], [0.5, 0.2]]),
            "weights must be 0 where it reaches before the start, got 0.1 at index (0, 1)",
        ),
        (lambda: rows(noise=[0.1]), "noise must have shape (2,), got (1,)"),
        (lambda: rows(noise=[0.1, -1]), "noise must be at least 0, got -1 at index 1"),
        (lambda: rows(keep=[[1], [np.nan]]), "keep must be finite, got nan at index (1, 0)"),
        (lambda: rows(start_std=0), "start_std must be positive, got 0"),
        (lambda: rows(order=0), "order must be a whole number at least 1, got 0"),
        (lambda: rows(n_steps=3), "n_steps must be a whole number in 1..2, got 3"),
        (
            lambda: ddim_table([1.0, 2.0]),
            "sigmas must fall strictly, got 2 after 1 at index 1; "
            "a schedule runs from high to low noise",
        ),
        (lambda: ddim_table([1.0]), "sigmas must be a list of at least 2, got shape (1,)"),
        (
            lambda: ddim_table([1.0, -1]),
            "sigmas must be positive, but for a last 0, got -1 at index 1",
        ),
        (lambda: ddim_table([1.0, 0.5], -1), "start_std must be positive, got -1"),
        (lambda: stochastic_ddim_table([2, 1], eta=1.5), "eta must be in [0, 1], got 1.5"),
        (lambda: stochastic_ddim_table([2, 1], eta=np.nan), "eta must be finite, got nan"),
        (
            lambda: make_table("ddim", [2, 1], eta=0.5),
            "eta must be left out for solver 'ddim', which takes no options, got 0.5",
        ),
        (
            lambda: make_table("heun", [2, 1], eta=0.5),
            "eta must be left out for solver 'heun', which takes correct_last, got 0.5",
        ),
        (
            lambda: make_table("dddim", [2, 1]),
            f"solver must be one of {', '.join(SOLVERS)}, got 'dddim'; did you mean 'ddim'?",
        ),
        (
            lambda: make_table("fd_2", [2, 1], form="nose"),
            "form must be one of noise, data, got 'nose'; did you mean 'noise'?",
        ),
        (
            lambda: make_table("re_single", [2, 1], mix="low"),
            "mix must be one of lower, upper, minimum, got 'low'; did you mean 'lower'?",
        ),
        (lambda: make_table("re_single", [2, 1], mix=0), "mix must be in (0, 1], got 0"),
        (lambda: make_table("re_single", [2, 1], mix=1.5), "mix must be in (0, 1], got 1.5"),
        (
            lambda: make_table("edm_stochastic", [2, 1], s_churn=-1),
            "s_churn must be at least 0, got -1",
        ),
        (
            lambda: make_table("edm_stochastic", [2, 1], s_noise=0),
            "s_noise must be positive, got 0",
        ),
        (
            lambda: make_table("unipc_2", [2, 1], variant="bh3"),
            "variant must be one of bh2, bh1, got 'bh3'; did you mean 'bh2'?",
        ),
        (
            lambda: make_table("deis_2", [2, 1], time="vpp"),
            "time must be one of edm, vp, got 'vpp'; did you mean 'vp'?",
        ),
        (
            lambda: make_table("re_multi", [2, 1], prior="print"),
            "prior must be one of log_snr, printed, minimiser, got 'print'; "
            "did you mean 'printed'?",
        ),
        (
            lambda: make_table("evodiff", [2, 1], channels=0),
            "channels must be a whole number at least 1, got 0",
        ),
        (
            lambda: make_table("heun", [2, 1], correct_last=1),
            "correct_last must be true or false, got 1",
        ),
        (
            lambda: make_table("stochastic_ddim", [2, 1], eta=True),
            "eta must be a number or a word, got True",
        ),
        (
            lambda: make_table("heun", [2, 1], **{"sigmas": 3}),
            "sigmas must be left out for solver 'heun', which takes correct_last, got 3",
        ),
        (lambda: make_table("evodiff", [2, 1], mu=np.inf), "mu must be finite, got inf"),
    ],
)
def test_errors_say_what_to_change(call: object, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        call()
    assert str(error.value) == message
