"""How tight paper B's bounds on the slope of the mmse are: a search for the worst case.

The slope |dmmse / dsnr| = E tr Cov(x0 | x)^2 (eq. C.2) of point data is compared with three bounds:
M4 = E |X - X'|^4 (proposition 6), 64 sigma^4 (h^2 + h + 1) (C.7, with our constant), and the form
of the latter in H (theorem 1). "excess" is the slope divided by sigma^4, which is scale-free. One
dimension is done by quadrature. Many dimensions are done by Monte Carlo, where the points enter
only through their inner products.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from benchmarks.engine.results import results_file, rows_new, rows_now
from benchmarks.engine.store import Store, write_csv
from benchmarks.measure.mmse_slope import disc, fourth_moment, probabilities, smallest_nu, steepness
from theory.bounds import entropy_bound, mmse_slope_bound, renyi_half_bound, slope_bound
from theory.checks import Array
from theory.versions import versions
from toys import zoo
from toys.mixture import Mixture

ROWS = results_file("bound_tightness")
COMMAND = "entropic figures bound_tightness --recompute"
SIZES, FEW_SIZES = (2, 3, 4, 6, 9), (2, 3, 4)  # for the aim "any"; for the others
STARTS, EVALUATIONS = 6, 600
SPACING = 0.04  # grid step in sigma; error 1e-9 for points 20 sigma apart
WIDEST = 40.0  # largest distance of two points in a search, in sigma
CODES = (2, 4, 16, 64, 256, 1024, 4096, 16384)
# SNR relative to the threshold at which a code can be decoded, for sizes up to FEW and beyond.
FEW, PLACES = 256, (np.geomspace(0.5, 8.0, 29), np.geomspace(0.8, 1.7, 10))
# Noisy states x points per estimate, the limits on noisy states, and numbers in memory at a time.
NUMBERS, FEWEST, MOST, CHUNK = 2**23, 4000, 100_000, 2**20
CURVE = np.geomspace(8.0, 0.06, 120)
CODEBOOK, CODEBOOK_DIM = 256, 1000
STEPS = (1, 2, 4, 8, 16, 32, 64)
SPAN = (8.0, 0.05)  # levels of the grids on which E_disc is compared
Law = tuple[Array, Array]  # weights and places, (K,) each, in units of sigma


def slope_on_grid(weights: Array, places: Array) -> float:
    """E Var(x0 | x)^2 at sigma = 1 by the trapezoidal rule."""
    x = np.arange(places.min() - 9.0, places.max() + 9.0, SPACING)
    logs = np.log(weights) - 0.5 * (x[:, None] - places) ** 2
    total = logsumexp(logs, axis=1)
    r = np.exp(logs - total[:, None])
    mean = r @ places
    var = np.einsum("nk,nk->n", r, (places - mean[:, None]) ** 2)
    return float(SPACING / np.sqrt(2.0 * np.pi) * np.exp(total) @ var**2)


def orders(weights: Array) -> tuple[float, float]:
    """Renyi entropy of order 1/2 and Shannon entropy, in nats."""
    p = weights[weights > 0]
    return 2.0 * float(np.log(np.sqrt(p).sum())), -float(p @ np.log(p))


AIMS: dict[str, Callable[[float, float], float]] = {
    "any": lambda h, shannon: 1.0,
    "bound": lambda h, shannon: 64.0 * (h * h + h + 1.0),
    "square": lambda h, shannon: (1.0 + h) ** 2,
    "shannon": lambda h, shannon: shannon**2 + shannon + 1.0,
}


def _law(v: Array) -> Law:
    half = v.size // 2
    gaps = np.exp(np.clip(v[half:], -8.0, np.log(WIDEST)))
    return softmax(np.append(v[:half], 0.0)), np.concatenate([[0.0], np.cumsum(gaps)])


def search(size: int, aim: str, seed: int) -> dict[str, object]:
    """Worst case of `size` points: the largest slope in units of the aim's divisor, as a row."""
    rng, best, law = np.random.default_rng(seed), -np.inf, None

    def loss(v: Array) -> float:
        weights, places = _law(v)
        if places[-1] > WIDEST or weights.min() < 1e-200:
            return 0.0
        return -slope_on_grid(weights, places) / AIMS[aim](*orders(weights))

    for _ in range(STARTS):
        start = np.concatenate([rng.normal(0.0, 1.5, size - 1), rng.normal(0.7, 0.6, size - 1)])
        options = {"maxfev": EVALUATIONS, "xatol": 1e-6, "fatol": 1e-12}
        found = minimize(loss, start, method="Nelder-Mead", options=options)
        if -found.fun > best:
            best, law = -float(found.fun), _law(found.x)
    assert law is not None
    weights, places = law
    exact = steepness(Mixture(weights, places, 0.0), 1.0)
    h, shannon = orders(weights)
    return {
        "kind": "search",
        "target": aim,
        "size": size,
        "excess": exact,
        "stderr": 0.0,
        "h": h,
        "shannon": shannon,
        "ratio": exact / AIMS[aim](h, shannon),
        "weights": " ".join(f"{w:.12g}" for w in weights),
        "places": " ".join(f"{x:.12g}" for x in places),
    }


def draws(size: int) -> int:
    """Number of noisy states to draw when each holds `size` numbers."""
    return int(np.clip(NUMBERS // size, FEWEST, MOST))


def simplex_slopes(size: int, rare: float, u: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Excess and its standard error of a simplex code L e_j, j = 1..size, over u = L / sigma.

    The points have equal weights. With rare = p < 1 they have weight p / size each, and a further
    point at 0 has weight 1 - p. Cov = L^2 (diag r - r r^T), where r is the posterior of the points
    L e_j.
    """
    rng, rows = np.random.default_rng(seed), max(1, CHUNK // size)
    sums, squares, done = np.zeros(u.size), np.zeros(u.size), 0
    log_each = np.log(rare / size)
    log_zero = np.log1p(-rare) if rare < 1.0 else -np.inf
    while done < count:
        n = min(rows, count - done)
        z = rng.normal(size=(n, size))
        sides = (True,) if rare >= 1.0 else (True, False)
        value = np.zeros((u.size, n))
        for far in sides:  # the true point is one of the L e_j, or 0
            share = rare if far else 1.0 - rare
            for i, level in enumerate(u.tolist()):
                scores = log_each + level * z - 0.5 * level**2
                if far:
                    scores[:, 0] += level**2
                top = np.maximum(scores.max(axis=1), log_zero)
                r = np.exp(scores - top[:, None])
                r /= (r.sum(axis=1) + np.exp(log_zero - top))[:, None]
                square = r * r
                two, three = square.sum(axis=1), np.einsum("nk,nk->n", square, r)
                value[i] += share * level**4 * np.maximum(two - 2.0 * three + two**2, 0.0)
        sums += value.sum(axis=1)
        squares += (value**2).sum(axis=1)
        done += n
    mean = sums / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0) / count)


def family(name: str, size: int, rare: float, seed: int) -> dict[str, object]:
    """The largest excess of a simplex code over noise levels, with or without a point at 0."""
    u = np.sqrt(2.0 * np.log(size / rare) * PLACES[size > FEW])
    found, stderr = simplex_slopes(size, rare, u, draws(size), seed)
    best = int(np.argmax(found))
    h = 2.0 * np.log(np.sqrt(1.0 - rare) + np.sqrt(rare * size))
    shannon = rare * np.log(size / rare) - (1.0 - rare) * np.log1p(-rare) if rare < 1 else h
    return {
        "kind": "family",
        "draws": draws(size),
        "target": name,
        "size": size,
        "excess": found[best],
        "stderr": stderr[best],
        "h": h,
        "shannon": float(shannon),
        "ratio": found[best] / AIMS["bound"](h, float(shannon)),
        "sigma": 1.0 / u[best],
    }


def codebook_slopes(points: Array, sigmas: Array, count: int, seed: int) -> tuple[Array, ...]:
    """Slope, its standard error, and M4 over sigmas (m,) of equally likely points (K, d).

    By Monte Carlo over noisy states. The noise enters only through its products with the points.
    """
    rng = np.random.default_rng(seed)
    offsets = points - points.mean(axis=0)
    gram = offsets @ offsets.T
    values, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    noise = rng.normal(size=(count, len(points))) @ root.T
    truth = rng.integers(len(points), size=count)
    norms = np.diag(gram)
    apart = (norms[:, None] + norms - 2.0 * gram) ** 2
    rows = []
    for s in sigmas.tolist():
        scores = (gram[truth] + s * noise - 0.5 * norms) / s**2
        r = softmax(scores, axis=1)
        inner = r @ gram
        trace = np.einsum("nk,nk->n", r @ gram**2, r)
        trace += np.einsum("nk,nk->n", r, inner) ** 2 - 2.0 * np.einsum("nk,nk->n", r, inner**2)
        trace = np.maximum(trace, 0.0)
        fourth = np.einsum("nk,nk->n", r @ apart, r)
        rows.append([trace.mean(), trace.std() / np.sqrt(count), fourth.mean()])
    return tuple(np.array(rows).T)


def _curve(name: str, toy: Mixture) -> pd.DataFrame:
    """Slope and bounds of points in one dimension over sigma, one row per level."""
    levels = CURVE * np.sqrt(toy.variance)
    slopes = np.array([steepness(toy, s) for s in levels.tolist()])
    fourth = np.array([fourth_moment(toy, s) for s in levels.tolist()])
    return _bounded(name, probabilities(toy), 1, levels, slopes, 0.0 * slopes, fourth)


def _bounded(
    name: str, p: Array, d: int, levels: Array, slopes: Array, stderr: Array, fourth: Array
) -> pd.DataFrame:
    h, shannon = orders(p)
    table = pd.DataFrame(
        {"sigma": levels, "slope": slopes, "stderr": stderr, "fourth": fourth}
    ).assign(
        kind="curve",
        target=name,
        size=p.size,
        dim=d,
        h=h,
        shannon=shannon,
        excess=slopes / levels**4,
        draws=np.where(stderr > 0, draws(p.size * p.size), 0),
        renyi_bound=mmse_slope_bound(levels, h),
        theorem_bound=mmse_slope_bound(levels, renyi_half_bound(shannon, smallest_nu(p))),
        dimension_bound=d * (d + 2.0) * levels**4,
    )
    return table


def _code_curve(name: str, points: Array, seed: int = 0) -> pd.DataFrame:
    """Slope and bounds of equally likely points (K, d) by Monte Carlo, around their threshold."""
    size, d = points.shape
    offsets = points - points.mean(axis=0)
    apart = 2.0 * float((offsets**2).sum()) / (size - 1)  # mean squared distance
    levels = CURVE * np.sqrt(apart / (4.0 * np.log(size)))
    found = codebook_slopes(points, levels, draws(size * size), seed)
    return _bounded(name, np.full(size, 1.0 / size), d, levels, *found)


def _disc(name: str, toy: Mixture) -> pd.DataFrame:
    """E_disc on geometric grids against the bounds that lead to (4.7)."""
    h, std, rows = orders(probabilities(toy))[0], np.sqrt(toy.variance), []
    fine = np.geomspace(SPAN[0] * std, SPAN[1] * std, 16 * STEPS[-1] + 1)
    slopes = np.array([steepness(toy, s) for s in fine.tolist()])
    for n in STEPS:
        grid = np.geomspace(SPAN[0] * std, SPAN[1] * std, n + 1)
        stride = (fine.size - 1) // n
        top = [slopes[k * stride : (k + 1) * stride + 1].max() for k in range(n)]
        rows.append(
            {
                "kind": "disc",
                "target": name,
                "size": n,
                "h": h,
                "disc": float(disc(toy, grid).sum()),
                "slope_bound": slope_bound(grid, top),
                "renyi_bound": entropy_bound(grid, h),
            }
        )
    return pd.DataFrame(rows)


def study(jobs: int | None = 1) -> pd.DataFrame:
    """All rows: the searches, the families of many points, the curves, and E_disc."""
    searches = [
        search(k, aim, 100 * k + i)
        for i, aim in enumerate(AIMS)
        for k in (SIZES if aim == "any" else FEW_SIZES)
    ]
    families = [family("simplex", int(k), 1.0, 1) for k in CODES]
    for k in CODES[1:]:
        families.append(family("rare", int(k), float(1.0 / np.log(k)), 2))
        families.append(family("half", int(k), 0.5, 3))
    found = pd.DataFrame(families)
    simplex = found[found["target"] == "simplex"].sort_values("ratio")["size"].iloc[-1]
    points15 = zoo.toy("points15")
    skewed = Mixture(0.5 ** np.arange(points15.size), points15.means, 0.0)
    random = np.random.default_rng(0).normal(size=(CODEBOOK, CODEBOOK_DIM))
    parts = [
        pd.DataFrame(searches),
        found,
        _curve("two_points", zoo.toy("two_points")),
        _curve("points15", points15),
        _curve("skewed15", skewed),
        _code_curve("simplex", np.eye(int(simplex))),
        _code_curve("codebook", random),
        _disc("points15", points15),
    ]
    return pd.concat(parts, ignore_index=True)


def compute_study(store: Store, jobs: int | None) -> None:
    """Compute the rows of the figure `bound_tightness` in some minutes on one core."""
    table = study(jobs).assign(**versions())
    table.insert(0, "command", COMMAND)
    write_csv(table, rows_new(ROWS))


def bound_tightness(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """How tight paper B's bounds on the slope of the mmse are, by a search for the worst case.

    The rows are kept; with the budget "paper" they are computed anew.
    """
    if budget == "paper":
        return study(jobs).assign(**versions())
    return pd.read_csv(rows_now(ROWS)).drop(columns="command")
