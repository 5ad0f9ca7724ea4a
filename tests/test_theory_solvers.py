"""Solver tables: rows against the update rules of their papers in mpmath, and the words."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.solvers import registry
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
            "eta must be left out for solver 'ddim', which takes call, got 0.5",
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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Euler", "ddim"),
        ("euler a", "euler_ancestral"),
        ("ancestral", "stochastic_ddim"),
        ("DDPM", "stochastic_ddim"),
        ("DPM++ 2M", "dpmpp_2m"),
        ("DPM++ 2M SDE", "sde_dpmpp_2m"),
        ("dpm2", "dpm_solver_2"),
        ("UniPC-2", "unipc_2"),
    ],
)
def test_names_in_common_use_are_accepted_where_they_are_exact(written: str, name: str) -> None:
    assert registry.REGISTRY.name(written) == name
    sigmas = [9.0, 3.0, 1.0, 0.1]
    one, two = registry.make_table(written, sigmas), registry.make_table(name, sigmas)
    assert isinstance(one, SolverTable)
    assert isinstance(two, SolverTable)
    np.testing.assert_array_equal(one.weights, two.weights)


@pytest.mark.parametrize(
    ("written", "near"), [("unipc", "unipc_2"), ("DPMSolver++", "dpmpp_2m"), ("edm", "heun")]
)
def test_names_of_something_near_are_suggested(written: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        registry.make_table(written, [1.0, 0.5])


def test_ddpm_with_the_posteriors_variance_is_stochastic_ddim() -> None:
    """Ho et al. 2020, eqs. 6 and 7, with steps of alpha-bar from the levels, divided by alpha."""
    sigmas = np.array([9.0, 3.0, 1.0, 0.1])
    bar = 1.0 / (1.0 + sigmas**2)
    now, after = bar[:-1], bar[1:]
    alpha = now / after
    variance = (1.0 - after) / (1.0 - now) * (1.0 - alpha)
    on_x0 = np.sqrt(after) * (1.0 - alpha) / (1.0 - now)
    on_x = np.sqrt(alpha) * (1.0 - after) / (1.0 - now)
    table = registry.make_table("ddpm", sigmas)
    assert isinstance(table, SolverTable)
    np.testing.assert_allclose(table.noise, np.sqrt(variance / after), rtol=1e-13)
    np.testing.assert_allclose(table.weights[:, 0], on_x0 / np.sqrt(after), rtol=1e-13)
    np.testing.assert_allclose(table.keep[:, 0], on_x * np.sqrt(now / after), rtol=1e-13)


def test_a_solver_of_ones_own_is_called_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steps_of_mine.py").write_text(
        "from dataclasses import replace\n"
        "from theory.solvers.ddim import ddim_table\n"
        "def plain(sigmas, start_std=None, *, gain: float = 1.0):\n"
        "    table = ddim_table(sigmas, start_std)\n"
        "    return replace(table, weights=gain * table.weights)\n"
        "def early(sigmas, start_std=None):\n"
        "    return ddim_table(sigmas[:-1], start_std)\n"
        "def nothing(sigmas, start_std=None):\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    sigmas = [9.0, 3.0, 1.0]
    mine, ddim = (registry.make_table(n, sigmas) for n in ("steps_of_mine:plain", "ddim"))
    assert isinstance(mine, SolverTable)
    assert isinstance(ddim, SolverTable)
    np.testing.assert_array_equal(mine.weights, ddim.weights)
    assert registry.REGISTRY.parse("steps_of_mine:plain:gain=2") == (
        "steps_of_mine:plain", {"gain": 2}
    )  # fmt: skip
    for call, message in (
        (lambda: registry.make_table("steps_of_mine:plain", sigmas, eta=1), "which takes gain"),
        (lambda: registry.make_table("steps_of_mine:early", sigmas), "must end at the last level"),
        (lambda: registry.make_table("steps_of_mine:nothing", sigmas), "table must be a Solver"),
        (lambda: registry.make_table("steps_of_mine:absent", sigmas), "must name a function"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
