"""Frechet distance and merged statistics, against closed forms, SciPy, and longer floats."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from benchmarks.measure.frechet import (
    Moments,
    Statistics,
    frechet,
    gaussian_like,
    merge,
    merge_all,
    moments,
    statistics_of,
)

Array = np.ndarray


def samples(n: int, d: int, seed: int, ratio: float = 0.0) -> Array:
    """Correlated samples of std about 1, with means of about `ratio`."""
    rng = np.random.default_rng(seed)
    mix = np.eye(d) + 0.3 * rng.standard_normal((d, d)) / np.sqrt(d)
    return np.asarray(rng.standard_normal((n, d)) @ mix + ratio * rng.choice([-1.0, 1.0], d))


def long_covariance(x: Array) -> Array:
    """The covariance in extended precision, by two passes."""
    wide = x.astype(np.longdouble)
    wide = wide - wide.mean(axis=0)
    return np.asarray((wide.T @ wide / (len(x) - 1)).astype(np.float64))


def split(x: Array, cuts: Sequence[int]) -> list[Statistics]:
    return [statistics_of(part) for part in np.split(x, sorted(set(cuts))) if len(part)]


@pytest.mark.parametrize("d", [1, 5, 64])
def test_diagonal_gaussians_have_a_closed_form(d: int) -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2, to 1e-10."""
    rng = np.random.default_rng(d)
    a, b = (Moments(rng.standard_normal(d), np.diag(rng.gamma(1.0, 1.0, d) ** 2)) for _ in "ab")
    stds = [np.sqrt(np.diag(m.covariance)) for m in (a, b)]
    want = np.sum((a.mean - b.mean) ** 2) + np.sum((stds[0] - stds[1]) ** 2)
    assert frechet(a, b) == pytest.approx(want, rel=1e-10)
    assert frechet(b, a) == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("d", [2, 20, 64])
def test_gaussians_with_common_axes_have_the_same_form(d: int) -> None:
    rng, turn = np.random.default_rng(d), ortho_group.rvs(d, random_state=d)
    variances = rng.gamma(1.0, 1.0, (2, d))
    a, b = (Moments(np.zeros(d), turn * v @ turn.T) for v in variances)
    want = np.sum((np.sqrt(variances[0]) - np.sqrt(variances[1])) ** 2)
    assert frechet(a, b) == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(2, 3), (40, 64), (300, 64), (100, 512)])
def test_a_law_is_at_no_distance_from_itself(n: int, d: int) -> None:
    """At most 1e-10 of the trace, of either sign, where n <= d of deficient rank too."""
    found = moments(samples(n, d, seed=n))
    assert abs(frechet(found, found)) <= 1e-10 * np.trace(found.covariance)


def test_singular_laws_on_the_same_line() -> None:
    """Rank 1, stds a and b along one direction: (a - b)^2."""
    u = np.array([3.0, 4.0, 0.0]) / 5.0
    a, b = (Moments(np.zeros(3), s**2 * np.outer(u, u)) for s in (2.0, 0.5))
    assert frechet(a, b) == pytest.approx(2.25, rel=1e-10)


@pytest.mark.parametrize("d", [2, 16, 64])
def test_equals_the_matrix_square_root_of_the_product(d: int) -> None:
    """Well conditioned, to 1e-8: tr (S1 S2)^(1/2) by SciPy."""
    a, b = (moments(samples(8 * d, d, seed)) for seed in (1, 2))
    root = np.trace(np.real(sqrtm(a.covariance @ b.covariance)))
    want = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance) - 2.0 * root
    assert frechet(a, b) == pytest.approx(want, rel=1e-8)


@given(
    cuts=st.lists(st.integers(1, 199), max_size=30),
    ratio=st.sampled_from([0.0, 1.0, 10.0, 1e4]),
    seed=st.integers(0, 5),
)
def test_any_split_merges_to_the_whole(cuts: list[int], ratio: float, seed: int) -> None:
    """Relative to the stds, 1e-12 for mean / std up to 10, 1e-9 up to 1e4; single samples too."""
    x = samples(200, 6, seed, ratio)
    got = merge_all(split(x, cuts))
    want, limit = long_covariance(x), 1e-12 if ratio <= 10 else 1e-9
    scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    assert got.count == 200
    assert np.abs((got.moments().covariance - want) / scale).max() <= limit
    long_mean = x.astype(np.longdouble).mean(axis=0)
    assert np.abs((got.mean - long_mean) / np.sqrt(np.diag(want))).max() <= limit
    whole = statistics_of(x).moments()
    assert np.abs((whole.covariance - want) / scale).max() <= limit


def test_scatters_are_symmetric_to_the_last_bit() -> None:
    a, b = split(samples(90, 33, 4, 10.0), [40])
    for found in (a, b, merge(a, b)):
        assert np.array_equal(found.scatter, found.scatter.T)


def test_sums_of_squares_would_fail_there() -> None:
    """The published formula, sum f f^T - n m m^T, loses what merging keeps."""
    x = samples(200, 6, 0, 1e4)
    m = x.mean(axis=0)
    naive = (x.T @ x - 200 * np.outer(m, m)) / 199
    want = long_covariance(x)
    assert np.abs(naive - want).max() > 1e-9 * np.abs(want).max()


def test_merging_is_pairwise_in_order() -> None:
    """((a b) (c d)) (e f) of six parts, to the last bit."""
    a, b, c, d, e, f = split(samples(60, 4, 3), range(10, 60, 10))
    want = merge(merge(merge(a, b), merge(c, d)), merge(e, f))
    got = merge_all(iter((a, b, c, d, e, f)))
    assert np.array_equal(got.scatter, want.scatter)
    assert np.array_equal(got.mean, want.mean)


def test_one_sample_merges_but_has_no_covariance() -> None:
    one = statistics_of([[1.0, 2.0]])
    assert merge(one, one).moments().covariance.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match="samples must be at least 2, got 1"):
        one.moments()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: statistics_of(np.zeros(3)), r"samples must have shape \(n, d\)"),
        (lambda: statistics_of(np.zeros((0, 3))), r"n >= 1, got \(0, 3\)"),
        (lambda: statistics_of(np.zeros((3, 0))), r"n >= 1, got \(3, 0\)"),
        (lambda: statistics_of([["a"]]), "samples must be numbers"),
        (
            lambda: statistics_of([[np.nan, 1.0]]),
            r"samples must be finite, got nan at index \(0, 0",
        ),
        (lambda: statistics_of([[1e200], [-1e200]]), "mean and scatter must be finite, got inf"),
        (lambda: Statistics(0, np.zeros(2), np.eye(2)), "count must be a whole number at least 1"),
        (
            lambda: Statistics(3, np.zeros(2), np.eye(3)),
            r"mean and scatter must have shapes \(d,\) and \(d, d\), got \(2,\) and \(3, 3\)",
        ),
        (
            lambda: Statistics(3, np.zeros(2), np.diag([1.0, np.inf])),
            r"mean and scatter must be finite, got inf at index \(1, 1\)",
        ),
        (lambda: merge_all([]), "parts must be at least 1, got none"),
        (
            lambda: merge(statistics_of(np.zeros((2, 3))), statistics_of(np.zeros((2, 4)))),
            "samples must have 3 coordinates, got 4",
        ),
        (
            lambda: frechet(moments(np.eye(3)), moments(np.eye(4))),
            "moments must have 3 coordinates, got 4",
        ),
        (
            lambda: frechet(moments(np.eye(3)), Moments(np.zeros(3), np.eye(2))),
            r"mean and covariance must have shapes \(d,\) and \(d, d\), got \(3,\) and \(2, 2\)",
        ),
        (
            lambda: frechet(moments(np.eye(2)), Moments(np.array([0.0, np.nan]), np.eye(2))),
            "mean and covariance must be finite, got nan at index 1",
        ),
    ],
)
def test_bad_input_is_one_clear_line(bad, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message) as caught:
        bad()
    assert "\n" not in str(caught.value)


def test_draws_of_the_gaussian_like_some_samples_have_its_moments() -> None:
    x = samples(500, 3, 8, 2.0)
    found = gaussian_like(x, 200_000, np.random.default_rng(0))
    assert frechet(moments(found), moments(x)) < 1e-3
