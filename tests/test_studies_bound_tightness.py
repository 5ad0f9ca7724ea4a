"""The search for the worst case of paper B's bounds, and the figure of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.engine.store import Store
from benchmarks.measure.mmse_slope import steepness
from benchmarks.studies import bound_tightness as tight
from figures.bound_tightness import draw
from figures.parts.style import caption_text
from toys.mixture import Mixture

ROWS = pd.read_csv(tight.ROWS)


def laws(rows: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Weights, places and excess of searched rows."""
    return [
        (np.array(w.split(), dtype=float), np.array(x.split(), dtype=float), e)
        for w, x, e in zip(rows["weights"], rows["places"], rows["excess"], strict=True)
    ]


@pytest.mark.parametrize("gap", [0.3, 2.0, 3.535, 8.0])
def test_slope_on_a_grid_is_the_slope_by_panels(gap: float) -> None:
    weights, places = np.array([0.3, 0.5, 0.2]), np.array([0.0, gap, 2.5 * gap])
    exact = steepness(Mixture(weights, places, 0.0), 1.0)
    assert tight.slope_on_grid(weights, places) == pytest.approx(exact, rel=1e-9)


def test_committed_worst_cases_repeat() -> None:
    for weights, places, excess in laws(ROWS[ROWS["kind"] == "search"]):
        kept = weights > 1e-15  # others are there as text, and weigh nothing
        found = steepness(Mixture(weights[kept], places[kept], 0.0), 1.0)
        assert found == pytest.approx(excess, rel=1e-8)


def test_a_search_finds_the_two_points_that_are_worst() -> None:
    found = tight.search(2, "bound", 5)
    gaps = np.linspace(3.0, 4.0, 201)
    half = np.array([0.5, 0.5])
    best = max(tight.slope_on_grid(half, np.array([0.0, g])) for g in gaps)
    assert found["excess"] == pytest.approx(best, rel=1e-5)
    assert found["h"] == pytest.approx(np.log(2.0), abs=1e-6)


def test_no_random_points_beat_the_committed_worst() -> None:
    found = ROWS[(ROWS["kind"] == "search") & (ROWS["target"] == "bound")]["ratio"].max()
    rng = np.random.default_rng(0)
    for _ in range(100):
        weights = rng.dirichlet(np.ones(4))
        places = np.sort(rng.normal(0.0, 4.0, 4))
        h, shannon = tight.orders(weights)
        ratio = tight.slope_on_grid(weights, places) / tight.AIMS["bound"](h, shannon)
        assert ratio <= found * (1.0 + 1e-9)


def test_simplex_of_two_points_is_two_points_on_the_line() -> None:
    # L e_1 and L e_2 are sqrt(2) L apart.
    u = np.array([1.5, 2.5, 3.5])
    found, stderr = tight.simplex_slopes(2, 1.0, u, 20_000, 0)
    half = np.array([0.5, 0.5])
    exact = [tight.slope_on_grid(half, np.array([0.0, np.sqrt(2.0) * v])) for v in u]
    # 4 standard errors at 3 levels: two false alarms in ten thousand seeds.
    assert np.all(np.abs(found - exact) < 4.0 * stderr)


def test_rare_code_agrees_with_the_points_themselves() -> None:
    p, size, u = 0.4, 3, 2.0
    toy = Mixture([1 - p, *[p / size] * size], u * np.vstack([np.zeros(size), np.eye(size)]), 0.0)
    squares = toy.posterior_frobenius(toy.sample_noisy(40_000, 1.0, 0), 1.0) ** 2
    found, stderr = tight.simplex_slopes(size, p, np.array([u]), 40_000, 1)
    apart = abs(found[0] - squares.mean())
    assert apart < 4.0 * np.hypot(stderr[0], squares.std() / 200.0)


def test_codebook_by_products_agrees_with_the_points_themselves() -> None:
    points = np.random.default_rng(1).normal(size=(6, 20))
    slope, stderr, fourth = tight.codebook_slopes(points, np.array([2.0]), 40_000, 0)
    toy = Mixture(np.ones(6), points, 0.0)
    y = toy.sample_noisy(40_000, 2.0, 3)
    squares = toy.posterior_frobenius(y, 2.0) ** 2
    r = toy.responsibilities(y, 2.0)
    apart = np.linalg.norm(points[:, None] - points, axis=2) ** 4
    fourths = np.einsum("ni,nj,ij->n", r, r, apart)
    assert abs(slope[0] - squares.mean()) < 4.0 * np.sqrt(2.0) * stderr[0]
    assert fourth[0] == pytest.approx(fourths.mean(), rel=0.1)


def test_bounds_hold_on_every_committed_row() -> None:
    curves = ROWS[ROWS["kind"] == "curve"]
    sure = curves[curves["stderr"] <= 0.1 * curves["slope"]]
    assert (sure["slope"] <= sure["fourth"] / 8.0 * (1.0 + 1e-9)).all()
    assert (curves["fourth"] <= curves["renyi_bound"]).all()
    assert (curves["renyi_bound"] <= curves["theorem_bound"] * (1.0 + 1e-12)).all()
    assert (sure["slope"] <= sure["dimension_bound"]).all()
    grids = ROWS[ROWS["kind"] == "disc"]
    assert (grids["disc"] <= grids["slope_bound"]).all()
    assert (grids["slope_bound"] <= grids["renyi_bound"]).all()


@pytest.mark.slow
def test_figure_draws_the_committed_rows_and_says_what_they_are(tmp_path: Path) -> None:
    table = tight.bound_tightness("standard", Store(tmp_path), 1)
    figure = draw(table)
    lines = {line.get_gid(): line for ax in figure.axes for line in ax.get_lines()}
    rows = table[(table["kind"] == "curve") & (table["target"] == "two_points")]
    drawn = np.asarray(lines["slope two_points"].get_ydata(), dtype=float)
    np.testing.assert_allclose(np.sort(drawn), np.sort(rows["slope"]))
    assert "≥ 8 tr Cov²" in caption_text(figure)
