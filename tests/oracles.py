"""Slow, obvious twins of the suite's engines, used by the tests as expected values.

Nothing here imports the project. The data are a mixture of K Gaussians, `Mixture` = (weights
(K,), means (K,), stds (K,)), in d dimensions means (K, d) and stds (K,) or (K, d); a std of 0 is
a point. The channel is x = x0 + sigma eps; v_k = stds_k**2 + sigma**2 is the variance of
component k after it. `Table` = (sigma (rows,), keep (rows, H), weights (rows, H), noise (rows,))
is a sampler, one row per denoiser call:

    x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D(x_{r-h}, sigma[r-h]) + noise[r] z_r

In order: denoisers; information in mpmath; the table walk; Philox; the exact law of a one-step
sampler in one dimension and its KL divergence from the data; LAW_CASES, where that law is hard to
compute, with their LAW_KL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import mpmath as mp
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import logsumexp

Array = np.ndarray
Mixture = tuple[Array, Array, Array]
Table = tuple[Array, Array, Array, Array]

# --------------------------------------------------------------------------------------------------
# Denoisers
# --------------------------------------------------------------------------------------------------


def responsibilities(x: Array, sigma: float, weights: Array, means: Array, stds: Array) -> Array:
    """Posterior of the component, x (n, d), means and stds (K, d), returns (n, K).

    The logit is log w - log|v|/2 - (x - mean)^2 / 2v. Its difference from that of the likeliest
    component j is taken by hand: far from the data, or at small sigma, the squares are so large
    that their rounding would show.
    """
    v = stds**2 + sigma**2
    with np.errstate(divide="ignore"):  # a weight of 0 has the logit -inf
        prior = np.log(weights) - 0.5 * np.log(v).sum(axis=1)  # (K,)
    x = x[:, None, :]
    j = (prior - 0.5 * ((x - means) ** 2 / v).sum(axis=2)).argmax(axis=1)[:, None]  # (n, 1)
    from_j, gap = x - means[j], means - means[j]  # (n, 1, d), (n, K, d)
    wider = (stds[j] - stds) * (stds[j] + stds)  # v[j] - v
    rise = gap / v * (from_j - 0.5 * gap) - 0.5 * from_j**2 * wider / (v[j] * v)
    logits = prior - prior[j] + rise.sum(axis=2)  # (n, K)
    return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))


def denoise(x: Array, sigma: float, weights: Array, means: Array, stds: Array) -> Array:
    """E[x0 | x0 + sigma eps = x].

    x (...) for means (K,) and (..., d) for means (K, d); returns x's shape.
    """
    x = np.asarray(x, dtype=float)
    if sigma == 0:
        return x.copy()
    d = 1 if means.ndim == 1 else means.shape[1]
    mu = means.reshape(-1, d)
    s = np.broadcast_to(stds[:, None] if stds.ndim == 1 else stds, mu.shape)
    flat = x.reshape(-1, d)
    r = responsibilities(flat, sigma, weights, mu, s)  # (n, K)
    mean = mu + s**2 / (s**2 + sigma**2) * (flat[:, None, :] - mu)  # (n, K, d)
    return (r[:, :, None] * mean).sum(axis=1).reshape(x.shape)


def posterior(x: Array, sigma: float, mixture: Mixture) -> tuple[Array, Array, Array]:
    """Mean and variance of x0 given x, and the part of the variance between components.

    One dimension: x (n,), returns three (n,). The responsibilities change at the rate
    sqrt(between) / sigma^2, since d log(w_k N_k) / dx = (mean of component k - x) / sigma^2.
    """
    weights, means, stds = mixture
    v = stds**2 + sigma**2
    r = responsibilities(x[:, None], sigma, weights, means[:, None], stds[:, None])
    component = means + stds**2 / v * (x[:, None] - means)  # (n, K)
    mean = (r * component).sum(axis=1)
    between = (r * (component - mean[:, None]) ** 2).sum(axis=1)
    return mean, between + (r * (stds**2 * sigma**2 / v)).sum(axis=1), between


def log_density(x: Array, sigma: float, mixture: Mixture) -> Array:
    """Log density of x0 + sigma eps, one dimension. x (n,), returns (n,)."""
    weights, means, stds = mixture
    v = stds**2 + sigma**2
    logs = -0.5 * (x[:, None] - means) ** 2 / v - 0.5 * np.log(2 * np.pi * v)  # (n, K)
    return logsumexp(logs, axis=1, b=weights)


# --------------------------------------------------------------------------------------------------
# Information, in mpmath
# --------------------------------------------------------------------------------------------------

Component = tuple[mp.mpf, mp.mpf, mp.mpf, mp.mpf]  # weight, mean, variance of x0, variance of x


def _components(sigma: float, weights: Array, means: Array, stds: Array) -> list[Component]:
    """Components of positive weight, the weights normalised."""
    s2 = mp.mpf(float(sigma)) ** 2
    rows = [tuple(mp.mpf(float(a)) for a in row) for row in zip(weights, means, stds, strict=True)]
    rows = [row for row in rows if row[0] > 0]
    total = mp.fsum(w for w, _, _ in rows)
    return [(w / total, m, s**2, s**2 + s2) for w, m, s in rows]


def _log_terms(x: mp.mpf, components: list[Component]) -> list[mp.mpf]:
    """log(w_k N(x; mean_k, v_k)) for every component."""
    log = mp.log
    return [log(w) - (log(2 * mp.pi * v) + (x - m) ** 2 / v) / 2 for w, m, _, v in components]


def denoise_mp(x: float, sigma: float, weights: Array, means: Array, stds: Array) -> mp.mpf:
    """E[x0 | x], one dimension, a scalar to 60 digits."""
    with mp.workdps(80):
        x = mp.mpf(x)
        components = _components(sigma, weights, means, stds)
        logs = _log_terms(x, components)
        top = max(logs)
        r = [mp.exp(a - top) for a in logs]
        pulled = [m + s2 / v * (x - m) for _, m, s2, v in components]
        return mp.fsum(a * b for a, b in zip(r, pulled, strict=True)) / mp.fsum(r)


def posterior_mp(
    x: float, sigma: float, weights: Array, means: Array, stds: Array, digits: int
) -> tuple[mp.mpf, ...]:
    """Log p(x), Var(x0 | x), H(r) and KL(r || w), r the posterior of the component; one state.

    digits must exceed those of 1 - r: 2400 where the second log odds are -5500.
    """
    with mp.workdps(digits):
        components = _components(sigma, weights, means, stds)
        terms = [mp.exp(a) for a in _log_terms(mp.mpf(x), components)]
        p = mp.fsum(terms)
        r = [a / p for a in terms]
        pulled = [m + s2 / v * (x - m) for _, m, s2, v in components]
        mean = mp.fsum(a * b for a, b in zip(r, pulled, strict=True))
        var = mp.fsum(
            a * ((b - mean) ** 2 + s2 * (v - s2) / v)
            for a, b, (_, _, s2, v) in zip(r, pulled, components, strict=True)
        )
        entropy = -mp.fsum(a * mp.log(a) for a in r)
        gain = mp.fsum(a * mp.log(a / w) for a, (w, _, _, _) in zip(r, components, strict=True))
        return mp.log(p), var, entropy, gain


@cache
def _gauss_legendre(n: int, dps: int) -> list[tuple[mp.mpf, mp.mpf]]:
    """Nodes and weights on [-1, 1], numpy's nodes polished by Newton's method."""

    def value_and_slope(x):
        p, q = mp.mpf(1), x  # P_0, P_1
        for k in range(2, n + 1):
            p, q = q, ((2 * k - 1) * x * q - (k - 1) * p) / k
        return q, n * (x * q - p) / (x**2 - 1)

    with mp.workdps(dps):
        rule = []
        for x in np.polynomial.legendre.leggauss(n)[0]:
            x = mp.mpf(float(x))
            for _ in range(4):
                value, slope = value_and_slope(x)
                x -= value / slope
            rule.append((x, 2 / ((1 - x**2) * value_and_slope(x)[1] ** 2)))
        return rule


def _integrate(f: Callable, points: list[mp.mpf], rtol: float = 1e-22) -> mp.mpf:
    """Integral of f >= 0 over the span of points: panels are halved until nothing changes.

    mpmath does not underflow, so an integral of 1e-3000 is found as surely as one of 1.
    """
    rule = _gauss_legendre(24, mp.mp.dps)

    def panel(a, b):
        return (b - a) / 2 * mp.fsum(w * f((a + b) / 2 + (b - a) / 2 * x) for x, w in rule)

    def halved(a, b, whole):
        left, right = panel(a, (a + b) / 2), panel((a + b) / 2, b)
        return abs(left + right - whole), a, b, left, right

    panels = [halved(a, b, panel(a, b)) for a, b in pairwise(points)]
    while True:
        total = mp.fsum(left + right for _, _, _, left, right in panels)
        if mp.fsum(entry[0] for entry in panels) <= rtol * total:
            return total
        share = rtol * total / len(panels)
        bad = [entry for entry in panels if entry[0] > share]
        panels = [entry for entry in panels if entry[0] <= share]
        for _, a, b, left, right in bad:
            panels += halved(a, (a + b) / 2, left), halved((a + b) / 2, b, right)


def _breakpoints(components: list[Component]) -> list[mp.mpf]:
    """Ends 16 deviations out (exp(-128) = 3e-56), the means, the crossings, and ladders off them.

    The ladders, powers of 4 of the sharpest width, keep every peak from hiding at the end of a
    panel so long that no node of it, nor of its halves, sees the peak.
    """
    points = {m for _, m, _, _ in components}
    for (w1, m1, _, v1), (w2, m2, _, v2) in combinations(components, 2):
        a = (1 / v2 - 1 / v1) / 2
        b = m1 / v1 - m2 / v2
        c = mp.log(w1 / w2) + (mp.log(v2 / v1) + m2**2 / v2 - m1**2 / v1) / 2
        if a == 0 and b != 0:
            points.add(-c / b)
        elif a != 0 and b**2 > 4 * a * c:
            points |= {(-b + sign * mp.sqrt(b**2 - 4 * a * c)) / (2 * a) for sign in (-1, 1)}
    low = min(m - 16 * mp.sqrt(v) for _, m, _, v in components)
    high = max(m + 16 * mp.sqrt(v) for _, m, _, v in components)
    far = max(
        (abs(m1 - m2) for (_, m1, _, _), (_, m2, _, _) in combinations(components, 2)), default=0
    )
    sharpest = min(min(mp.sqrt(v), v / far) if far else mp.sqrt(v) for _, _, _, v in components)
    rungs = []
    while sharpest < high - low:
        rungs += [-sharpest, sharpest]
        sharpest *= 4
    points = {x + rung for x in points for rung in (0, *rungs)}
    return [low, *sorted(x for x in points if low < x < high), high]


def mmse_mp(sigma: float, weights: Array, means: Array, stds: Array) -> mp.mpf:
    """E Var(x0 | x) = sum_k w_k s_k^2 sigma^2 / v_k + E sum_{j<k} r_j r_k (m_j - m_k)^2.

    One dimension; r are the posterior weights of the components and m their posterior means, so
    every term is positive and relative digits hold however small the value.
    """
    with mp.workdps(50):
        components = _components(sigma, weights, means, stds)
        within = mp.fsum(w * s2 * (v - s2) / v for w, _, s2, v in components)

        def between(x):
            density = [mp.exp(a) for a in _log_terms(x, components)]
            mean = [m + s2 / v * (x - m) for _, m, s2, v in components]
            pairs = combinations(zip(density, mean, strict=True), 2)
            return mp.fsum(p * q * (m - n) ** 2 for (p, m), (q, n) in pairs) / mp.fsum(density)

        alone = len(components) == 1
        return within + (0 if alone else _integrate(between, _breakpoints(components)))


def _label_information(components: list[Component]) -> mp.mpf:
    """I(k; x) = E KL(posterior of the component || weights): positive, nothing cancels."""

    def relative(x):
        logs = _log_terms(x, components)
        top = max(logs)
        log_p = top + mp.log(mp.fsum(mp.exp(a - top) for a in logs))
        gains = [a - log_p - mp.log(w) for a, (w, _, _, _) in zip(logs, components, strict=True)]
        return mp.fsum(mp.exp(a) * gain for a, gain in zip(logs, gains, strict=True))

    return _integrate(relative, _breakpoints(components)) if len(components) > 1 else mp.mpf(0)


def mutual_information_mp(sigma: float, weights: Array, means: Array, stds: Array) -> mp.mpf:
    """I(x0; x) = I(k; x) + I(x0; x | k), the last sum_k w_k log(1 + s_k^2 / sigma^2) / 2.

    One dimension; relative digits hold at sigma = 1e6 too.
    """
    with mp.workdps(50):
        components = _components(sigma, weights, means, stds)
        inside = mp.fsum(w * mp.log1p(s2 / (v - s2)) / 2 for w, _, s2, v in components)
        return inside + _label_information(components)


def differential_entropy_mp(sigma: float, weights: Array, means: Array, stds: Array) -> mp.mpf:
    """h(x0 + sigma eps) = I(k; x) + sum_k w_k log(2 pi e v_k) / 2, one dimension.

    sigma may be 0 if no std is.
    """
    with mp.workdps(50):
        components = _components(sigma, weights, means, stds)
        inside = mp.fsum(w * mp.log(2 * mp.pi * mp.e * v) / 2 for w, _, _, v in components)
        return inside + _label_information(components)


def discrete_conditional_entropy_mp(
    sigma: float, weights: Array, means: Array, stds: Array
) -> mp.mpf:
    """H(k | x), one dimension; for distinct points (stds 0) this is H(x0 | x).

    Relative digits hold at 1e-3000.
    """
    with mp.workdps(50):
        components = _components(sigma, weights, means, stds)

        def entropy(x):
            logs = sorted(_log_terms(x, components))
            others = mp.fsum(mp.exp(a - logs[-1]) for a in logs[:-1])
            log_p = logs[-1] + mp.log1p(others)
            small = [mp.exp(a) * (log_p - a) for a in logs[:-1]]
            return mp.fsum([*small, mp.exp(logs[-1]) * mp.log1p(others)])

        return _integrate(entropy, _breakpoints(components)) if len(components) > 1 else mp.mpf(0)


# --------------------------------------------------------------------------------------------------
# The table walk and the random numbers
# --------------------------------------------------------------------------------------------------


def walk_table(table: Table, mixture: Mixture, x0: Array, z: Array) -> Array:
    """States after every row for given start states x0 and normals z.

    x0 (paths,) or (paths, d), z (rows, *x0.shape); returns (rows + 1, *x0.shape), the start first.
    Columns that reach back before the start must be 0.
    """
    sigma, keep, weights, noise = table
    x = [np.asarray(x0, dtype=float)]
    denoised = []
    for r in range(len(sigma)):
        denoised.append(denoise(x[r], sigma[r], *mixture))
        new = noise[r] * z[r]
        for h in range(keep.shape[1]):
            if h <= r:
                new = new + keep[r, h] * x[r - h] + weights[r, h] * denoised[r - h]
            elif keep[r, h] != 0 or weights[r, h] != 0:
                raise ValueError(f"row {r} must not reach back {h} rows")
        x.append(new)
    return np.stack(x)


PHILOX = {  # word size: multipliers and key increments of Salmon et al. 2011
    32: ((0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)),
    64: ((0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)),
}
PHILOX4X32_10_ANSWERS = [  # counter, key, output: the known answers of Random123
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox4(counter: tuple[int, ...], key: tuple[int, ...], bits: int = 32) -> tuple[int, ...]:
    """Ten rounds of Philox on four words of `bits` bits, counter (4,), key (2,), returns (4,)."""
    (m0, m1), (w0, w1) = PHILOX[bits]
    mask = 2**bits - 1
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (p1 >> bits) ^ c1 ^ k0, p1 & mask, (p0 >> bits) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + w0) & mask, (k1 + w1) & mask
    return c0, c1, c2, c3


def philox4x32_10(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox4x32-10, counter (4,), key (2,), returns (4,) integers below 2^32."""
    return philox4(counter, key, bits=32)


# --------------------------------------------------------------------------------------------------
# The law of a one-step sampler in one dimension
#
# One rule serves all integrals: the trapezoid rule in a coordinate t with dx/dt = the local width
# of the integrand. The widths are known by formula (kernels, components, rate of change of the
# responsibilities); `_mesh` finds them wherever they are small and grades them, and `_nodes`
# smooths x(t), so that the rule converges exponentially: about 13 digits with 3 nodes per width.
# --------------------------------------------------------------------------------------------------

WINDOW = 60.0  # terms below exp(-60) of the largest are left out of a sum
GROWTH = 0.25  # largest growth of the width, per unit of x
P_REACH = 12.0  # deviations of the data's components inside the KL integral


def ddim_table(sigmas: Array, eta: float) -> Table:
    """DDIM along falling sigmas (rows + 1,), noise eta.

    From a to b it is x' = D + sqrt(b^2 - n^2) / a (x - D) + n z with n = eta b sqrt(1 - b^2 / a^2).
    """
    a, b = sigmas[:-1], sigmas[1:]
    noise = eta * b * np.sqrt((1 - b / a) * (1 + b / a))
    keep = b / a * np.sqrt((1 - eta) * (1 + eta) + (eta * b / a) ** 2)
    return a, keep[:, None], 1 - keep[:, None], noise


def _crossings(sigma: float, mixture: Mixture) -> Array:
    """The means, and the points where two components are equally likely at sigma."""
    weights, means, stds = mixture
    v = stds**2 + sigma**2
    points = list(means)
    for i, j in combinations(np.flatnonzero(weights > 0), 2):
        # log(w_i N_i / w_j N_j) = a x^2 + b x + c
        a = 0.5 * (stds[i] - stds[j]) * (stds[i] + stds[j]) / (v[i] * v[j])
        b = means[i] / v[i] - means[j] / v[j]
        c = 0.5 * (np.log(v[j] / v[i]) + means[j] ** 2 / v[j] - means[i] ** 2 / v[i])
        c += np.log(weights[i] / weights[j])
        if b * b >= 4 * a * c:
            q = -0.5 * (b + np.copysign(np.sqrt(b * b - 4 * a * c), b))
            roots = (q, a), (c, q)  # q / a and c / q, either perhaps at infinity
            points += [top / bottom for top, bottom in roots if abs(top) < 1e12 * abs(bottom)]
    return np.array(points)


def _mesh(
    width: Callable[[Array], Array], seeds: Array, low: float, high: float
) -> tuple[Array, Array]:
    """A crude mesh x (n,) of [low, high] and t (n,) with dt/dx = 1 / width.

    Cells are halved until none is longer than half its width, where the width of a point is at
    most that of any other point plus GROWTH times the distance: from its bottom, which is a seed,
    a narrow place is seen from afar.
    """
    x = np.unique(np.concatenate([[low, high], seeds[(seeds > low) & (seeds < high)]]))
    own = width(x)
    while True:
        from_left = np.minimum.accumulate(own - GROWTH * x) + GROWTH * x
        from_right = np.minimum.accumulate((own + GROWTH * x)[::-1])[::-1] - GROWTH * x
        graded = np.minimum(from_left, from_right)
        long = np.flatnonzero(np.diff(x) > 0.5 * np.minimum(graded[1:], graded[:-1]))
        if len(long) == 0:
            dt = 0.5 * np.diff(x) * (1 / graded[1:] + 1 / graded[:-1])
            return x, np.append(0.0, np.cumsum(dt))
        middle = 0.5 * (x[long] + x[long + 1])
        x = np.insert(x, long + 1, middle)
        own = np.insert(own, long + 1, width(middle))


def _nodes(x: Array, t: Array, nodes_per_width: float) -> tuple[Array, Array]:
    """Trapezoid nodes (n,) and weights (n,).

    They are x(t) smoothed by a Gaussian of half a unit of t, and the derivative of that.
    """
    first, last = int(-5 * nodes_per_width), int((t[-1] + 5) * nodes_per_width)
    steps = np.arange(first, last + 1) / nodes_per_width
    crude = np.interp(steps, t, x)
    crude += np.minimum(steps, 0) * (x[1] - x[0]) / (t[1] - t[0])  # linear beyond the ends
    crude += np.maximum(steps - t[-1], 0) * (x[-1] - x[-2]) / (t[-1] - t[-2])
    inside = (steps >= 0) & (steps <= t[-1])
    half = 0.5 * nodes_per_width
    smooth, slope = (gaussian_filter1d(crude, half, order=k, truncate=10.0) for k in (0, 1))
    return smooth[inside], slope[inside]


def _kernel_sum(log_a: Array, m: Array, noise: float, y: Array) -> tuple[Array, Array]:
    """Log q(y) = log sum_i a_i N(y; m_i, noise^2) and E[m | y], both (n,).

    log_a and m (k,), y (n,) rising. With the m in order, term i over term j > i falls as y rises,
    so the first and the last term within exp(-WINDOW) of the largest both move to the right with y:
    a block of y needs no terms outside those of its two ends.
    """
    order = np.argsort(m, kind="stable")
    log_a, m = log_a[order] - 0.5 * np.log(2 * np.pi * noise**2), m[order]
    ends = np.append(np.arange(0, max(len(y) - 1, 1), 48), len(y) - 1)
    spans = [(0, len(m))] * len(ends)

    def find(e: int, first: int, last: int) -> None:
        logs = log_a[first:last] - 0.5 * ((y[ends[e]] - m[first:last]) / noise) ** 2
        near = np.flatnonzero(logs >= logs.max() - WINDOW)
        spans[e] = first + near[0], first + near[-1] + 1

    def find_between(e: int, f: int) -> None:
        if f - e > 1:
            middle = (e + f) // 2
            find(middle, spans[e][0], spans[f][1])
            find_between(e, middle)
            find_between(middle, f)

    find(0, 0, len(m))
    find(len(ends) - 1, spans[0][0], len(m))
    find_between(0, len(ends) - 1)
    log_q, mean = np.empty_like(y), np.empty_like(y)
    for (i, j), ((first, _), (_, last)) in zip(pairwise(ends), pairwise(spans), strict=True):
        block = slice(i, j + 1)
        logs = log_a[first:last] - 0.5 * ((y[block, None] - m[first:last]) / noise) ** 2
        top = logs.max(axis=1)
        terms = np.exp(logs - top[:, None])
        mass = terms.sum(axis=1)
        log_q[block], mean[block] = top + np.log(mass), terms @ m[first:last] / mass
    return log_q, mean


def _law(
    table: Table,
    mixture: Mixture,
    start_std: float,
    start: str,
    nodes_per_width: float,
    domain: float,
) -> tuple[Array, Array, float]:
    """The output's density as a sum of kernels: log masses (n,), centres (n,), last noise.

    Row r reaches `domain` sigma[r] (the start: start_std) beyond 11 deviations of every component.
    """
    _, means, stds = mixture
    centres = log_a = below = None
    for r, (sigma, keep, weight, noise) in enumerate(zip(*table, strict=True)):
        if keep.shape != (1,) or noise <= 0:
            raise ValueError(f"rows must be one-step and noisy, got {keep.shape} and {noise}")
        reach = domain * (max(start_std, sigma) if r == 0 else sigma)
        if r == 0:
            below = start_std if start == "noise" else sigma

        def width(x, sigma=sigma, keep=keep[0], weight=weight[0], below=below, noise=noise):
            _, variance, between = posterior(x, sigma, mixture)
            slope = keep + weight * variance / sigma**2
            return 1 / np.sqrt(1 / below**2 + (slope / noise) ** 2 + between / sigma**4)

        low, high = (means - 11 * stds).min() - reach, (means + 11 * stds).max() + reach
        x, dx = _nodes(*_mesh(width, _crossings(sigma, mixture), low, high), nodes_per_width)
        if r > 0:
            log_q, _ = _kernel_sum(log_a, centres, below, x)
        elif start == "noise":
            log_q = -0.5 * (x / start_std) ** 2 - 0.5 * np.log(2 * np.pi * start_std**2)
        else:
            log_q = log_density(x, sigma, mixture)
        centres = keep[0] * x + weight[0] * posterior(x, sigma, mixture)[0]
        log_a, below = log_q + np.log(dx), noise
    return log_a, centres, below


def _data_mesh(
    mixture: Mixture, sigma_end: float, other: Callable | None = None, seeds: Array | None = None
) -> tuple[Array, Array]:
    """Mesh and coordinate for integrals against the law of x0 + sigma_end eps.

    With `other` (a second width) and `seeds` (where it is small) it resolves that as well.
    """
    _, means, stds = mixture
    c = np.sqrt(stds**2 + sigma_end**2)

    def width(y):
        near = (np.exp(-0.5 * ((y[:, None] - means) / c) ** 2) / c).max(axis=1)
        rate2 = posterior(y, sigma_end, mixture)[2] / sigma_end**4
        demand = near**2 + rate2 + 1 / (high - low) ** 2
        return 1 / np.sqrt(demand if other is None else demand + other(y) ** -2)

    low, high = (means - P_REACH * c).min(), (means + P_REACH * c).max()
    points = _crossings(sigma_end, mixture)
    return _mesh(width, points if seeds is None else np.append(points, seeds), low, high)


def _law_mesh(
    log_a: Array, m: Array, noise: float, mixture: Mixture, sigma_end: float
) -> tuple[Array, Array]:
    """`_data_mesh` that also resolves log q, which has kinks where q is tiny.

    Their width follows from (log q)'' = (dE[m | y]/dy - 1) / noise^2.
    """
    y, _ = _data_mesh(mixture, sigma_end)
    _, mean = _kernel_sum(log_a, m, noise, y)
    while len(long := np.flatnonzero(np.diff(mean) * np.diff(y) > (0.5 * noise) ** 2)) > 0:
        middle = 0.5 * (y[long] + y[long + 1])
        y = np.insert(y, long + 1, middle)
        mean = np.insert(mean, long + 1, _kernel_sum(log_a, m, noise, middle)[1])
    width_q = noise / np.sqrt(1 + np.maximum(np.diff(mean) / np.diff(y), 0))  # of each cell

    def width(x):
        return width_q[np.clip(np.searchsorted(y, x) - 1, 0, len(y) - 2)]

    return _data_mesh(mixture, sigma_end, width, seeds=y)


def law_log_density(
    y: Array,
    table: Table,
    mixture: Mixture,
    start_std: float,
    start: str = "noise",
    nodes_per_width: float = 4.0,
    domain: float = 640.0,
) -> Array:
    """Log density of the sampler's output at y (n,), returns (n,).

    One-step tables with noise in every row.
    """
    log_a, centres, noise = _law(table, mixture, start_std, start, nodes_per_width, domain)
    order = np.argsort(y)
    log_q = np.empty(len(y))
    log_q[order] = _kernel_sum(log_a, centres, noise, y[order])[0]
    return log_q


def law_kl(
    table: Table,
    mixture: Mixture,
    start_std: float,
    sigma_end: float,
    start: str = "noise",
    nodes_per_width: float = 4.0,
    domain: float | None = None,
) -> tuple[float, float]:
    """KL(law of x0 + sigma_end eps || law of the sampler), and the same with 3/4 of the nodes.

    One-step tables with noise in every row. start "noise" is N(0, start_std^2), "data" the law of
    x0 + sigma[0] eps. Without a domain it grows fourfold, from 40 sigmas, until the divergence
    no longer changes.
    """

    def at(density: float, reach: float) -> float:
        law = _law(table, mixture, start_std, start, density, reach)
        y, dy = _nodes(*_law_mesh(*law, mixture, sigma_end), density)
        log_p = log_density(y, sigma_end, mixture)
        log_q, _ = _kernel_sum(*law, y)
        return float((np.exp(log_p) * (log_p - log_q) * dy).sum())

    coarse = 0.75 * nodes_per_width
    if domain is not None:
        return at(nodes_per_width, domain), at(coarse, domain)
    domain = 40.0
    last, now = np.inf, at(coarse, domain)
    while not abs(now - last) <= 1e-11 * abs(now) + 1e-14:
        if domain > 1e5:
            raise ArithmeticError(f"KL must settle as the domain widens, got {last} and {now}")
        domain *= 4
        last, now = now, at(coarse, domain)
    return at(nodes_per_width, domain), now


def _flow(x: Array, table: Table, mixture: Mixture) -> tuple[list[Array], Array]:
    """States x_0 .. x_rows, each (n,), and the log slope (n,) of the last against the first.

    One-step tables without noise.
    """
    states, log_slope = [x], np.zeros_like(x)
    for sigma, keep, weight, noise in zip(*table, strict=True):
        if keep.shape != (1,) or noise != 0:
            raise ValueError(f"rows must be one-step without noise, got {keep.shape} and {noise}")
        mean, variance, _ = posterior(states[-1], sigma, mixture)
        log_slope = log_slope + np.log(keep[0] + weight[0] * variance / sigma**2)
        states.append(keep[0] * states[-1] + weight[0] * mean)
    return states, log_slope


def _flow_mesh(table: Table, mixture: Mixture, sigma_end: float) -> tuple[Array, Array]:
    """Mesh of start points, and t = the sum of the coordinates that resolve each row's map.

    Between far components the flow is steeper than double precision can follow: cells stop
    shrinking at 1e-13 of the domain there and count one width. No mass lives in them.
    """
    y, t_end = _data_mesh(mixture, sigma_end)
    ends = []
    for target, sign in ((y[0], -1), (y[-1], 1)):
        far = 1.0
        while sign * (_flow(np.array([sign * far]), table, mixture)[0][-1][0] - target) < 0:
            far *= 1.25
        ends.append(sign * far)
    reached = _flow(np.array(ends), table, mixture)[0]
    meshes = []
    for (low, high), sigma in zip(reached[:-1], table[0], strict=True):

        def width(x, sigma=sigma, full=high - low):
            return 1 / np.sqrt(posterior(x, sigma, mixture)[2] / sigma**4 + 1 / full**2)

        meshes.append(_mesh(width, _crossings(sigma, mixture), low, high))
    meshes.append((y, t_end))

    x = np.array(ends)
    while True:
        states = _flow(x, table, mixture)[0]
        dt = sum(
            np.diff(np.interp(state, *mesh)) for state, mesh in zip(states, meshes, strict=True)
        )
        long = np.flatnonzero((dt > 0.5) & (np.diff(x) > 1e-13 * np.abs(ends).max()))
        if len(long) == 0:
            return x, np.append(0.0, np.cumsum(np.minimum(dt, 1.0)))
        x = np.insert(x, long + 1, 0.5 * (x[long] + x[long + 1]))


def law_kl_deterministic(
    table: Table,
    mixture: Mixture,
    start_std: float,
    sigma_end: float,
    start: str = "noise",
    nodes_per_width: float = 4.0,
) -> tuple[float, float]:
    """KL(law of x0 + sigma_end eps || law of the sampler), and the same with 3/4 of the nodes.

    One-step tables without noise whose maps rise, so that the output is F(start) with F' > 0 and,
    q0 being the law of the start, KL = int p(F) F' [log p(F) - log q0 + log F'] dx.
    """

    def at(density: float) -> float:
        x, dx = _nodes(*mesh, density)
        states, log_slope = _flow(x, table, mixture)
        log_p = log_density(states[-1], sigma_end, mixture)
        if start == "noise":
            log_q0 = -0.5 * (x / start_std) ** 2 - 0.5 * np.log(2 * np.pi * start_std**2)
        else:
            log_q0 = log_density(x, table[0][0], mixture)
        return float((np.exp(log_p + log_slope) * (log_p - log_q0 + log_slope) * dx).sum())

    mesh = _flow_mesh(table, mixture, sigma_end)
    return at(nodes_per_width), at(0.75 * nodes_per_width)


# --------------------------------------------------------------------------------------------------
# Cases
# --------------------------------------------------------------------------------------------------

EDM_ENDS = 80.0, 0.002
VP_ENDS = tuple(float(np.sqrt(np.expm1(0.1 * t + 9.95 * t**2))) for t in (1.0, 1e-3))


def uneven_mixture(stds: list[float], tilt: float = 0.0) -> Mixture:
    """K uneven means, (j^2 sqrt 2) mod 1, brought to mean 0 and total variance 1.

    The variance of the means is at least 1/4. The weights are 1 + tilt (0, 1, .., K - 1) in mixed
    order, normalised. Returns three (K,) arrays.
    """
    k = len(stds)
    weights = 1 + tilt * (7 * np.arange(k) % k if k % 7 else np.arange(k))
    weights = weights / weights.sum()
    stds = np.array(stds)
    means = (np.arange(1, k + 1) ** 2 * np.sqrt(2)) % 1
    means = means - weights @ means
    if k > 1:
        means = means * np.sqrt(max(1 - weights @ stds**2, 0.25) / (weights @ means**2))
    return weights, means, stds


def uniform_sigmas(high: float, low: float, n: int) -> Array:
    """Uniform in sigma, (n + 1,)."""
    return np.linspace(high, low, n + 1)


def log_snr_sigmas(high: float, low: float, n: int) -> Array:
    """Uniform in log sigma, (n + 1,)."""
    return np.geomspace(high, low, n + 1)


def edm_sigmas(high: float, low: float, n: int) -> Array:
    """Uniform in sigma^(1/7), (n + 1,)."""
    return np.linspace(high ** (1 / 7), low ** (1 / 7), n + 1) ** 7


def vp_sigmas(high: float, low: float, n: int) -> Array:
    """Uniform in the VP time, log(1 + sigma^2) = 0.1 t + 9.95 t^2, (n + 1,)."""
    ends = [(np.sqrt(0.01 + 39.8 * np.log1p(s**2)) - 0.1) / 19.9 for s in (high, low)]
    t = np.linspace(*ends, n + 1)
    return np.sqrt(np.expm1(0.1 * t + 9.95 * t**2))


def cosine_sigmas(high: float, low: float, n: int) -> Array:
    """Uniform in angle, 1 + sigma^2 = (cos a / cos angle)^2 with a = 0.008 pi / 2.016, (n + 1,)."""
    a = 0.008 / 1.008 * np.pi / 2
    ends = [np.arccos(np.cos(a) / np.sqrt(1 + s**2)) for s in (high, low)]
    return np.sqrt((np.cos(a) / np.cos(np.linspace(*ends, n + 1))) ** 2 - 1)


def arctan_sigmas(high: float, low: float, n: int, c: float) -> Array:
    """Uniform in arctan(sigma / c), (n + 1,)."""
    return c * np.tan(np.linspace(np.arctan(high / c), np.arctan(low / c), n + 1))


def entropy_sigmas(high: float, low: float, n: int, mixture: Mixture, power: int) -> Array:
    """Uniform in the integral of mmse / sigma^power d sigma, (n + 1,), rounded to 6 digits inside.

    Power 3 is the conditional entropy, 2 the rescaled one. Trapezoid rules, good to about 4 digits.
    """
    sigma = np.geomspace(low, high, 300)
    mmse = []
    for s in sigma:
        y, dy = _nodes(*_data_mesh(mixture, s), 3.0)
        mmse.append((np.exp(log_density(y, s, mixture)) * posterior(y, s, mixture)[1] * dy).sum())
    rate = np.array(mmse) * sigma ** (1.0 - power)  # per log sigma
    clock = np.append(0.0, np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(np.log(sigma))))
    inside = np.exp(np.interp(np.linspace(clock[-1], 0, n + 1), clock, np.log(sigma)))[1:-1]
    return np.array([high, *(float(f"{s:.6g}") for s in inside), low])


@dataclass(frozen=True)
class LawCase:
    """A one-step sampler (DDIM with noise eta) of a mixture, stopping at sigmas[-1] > 0."""

    name: str
    weights: Array  # (K,)
    means: Array  # (K,)
    stds: Array  # (K,)
    sigmas: Array  # (n + 1,), falling
    start_std: float
    eta: float
    start: str = "noise"

    @property
    def mixture(self) -> Mixture:
        """Weights, means, stds, each (K,)."""
        return self.weights, self.means, self.stds

    @property
    def table(self) -> Table:
        """The sampler, one row per step."""
        return ddim_table(self.sigmas, self.eta)

    def kl(self, nodes_per_width: float = 4.0) -> tuple[float, float]:
        """KL(data || sampler) in nats and the same with 3/4 of the nodes."""
        kl = law_kl if self.eta > 0 else law_kl_deterministic
        return kl(
            self.table,
            self.mixture,
            self.start_std,
            self.sigmas[-1],
            self.start,
            nodes_per_width,
        )


def _case(
    name: str,
    mixture: Mixture,
    process: str,
    sigmas: Callable | list[float],
    n: int,
    eta: float,
    start: str = "noise",
    **options,
) -> LawCase:
    """A case at the process's ends; sigmas is one of the functions above, or the list itself."""
    high, low = EDM_ENDS if process == "edm" else VP_ENDS
    grid = (
        np.array([high, *sigmas, low])
        if isinstance(sigmas, list)
        else sigmas(high, low, n, **options)
    )
    grid[0], grid[-1] = high, low
    if len(grid) != n + 1:
        raise ValueError(f"{name} must have {n + 1} sigmas, got {len(grid)}")
    start_std = high if process == "edm" else float(np.sqrt(1 + high**2))
    return LawCase(name, *mixture, grid, start_std, float(eta), start)


FIVE_ENTROPIC_4 = [0.178077, 0.0242465, 0.00669876]
TEN_ENTROPIC_8 = [0.532644, 0.211669, 0.0873805, 0.0385704, 0.0180948, 0.00865346, 0.00415787]
FIFTEEN_RESCALED_6 = [3.83457, 1.81429, 1.06636, 0.634018, 0.316969]
TWENTY_ENTROPIC_32 = [
    1.62835,
    1.05316,
    0.780709,
    0.609498,
    0.488473,
    0.397604,
    0.326706,
    0.26974,
    0.22283,
    0.183504,
    0.150238,
    0.121953,
    0.0976753,
    0.0765251,
    0.0581955,
    0.0434586,
    0.0327656,
    0.0252636,
    0.0199069,
    0.0159819,
    0.0130271,
    0.0107458,
    0.00894294,
    0.00749147,
    0.00630554,
    0.00532566,
    0.00450927,
    0.00382498,
    0.00324876,
    0.00276196,
    0.00234972,
]

LAW_CASES = [
    _case("gauss-1-edm-8", uneven_mixture([1.0]), "edm", edm_sigmas, 8, 1),
    _case("gauss-0.05-edm-3-eta0.5", uneven_mixture([0.05]), "edm", edm_sigmas, 3, 0.5),
    _case("two-0.3-logsnr-4", uneven_mixture([0.3] * 2), "edm", log_snr_sigmas, 4, 1),
    _case("two-0.01-and-1-edm-8", uneven_mixture([0.01, 1.0]), "edm", edm_sigmas, 8, 1),
    _case("two-weights-1000-to-1-vp-4", uneven_mixture([0.1] * 2, 999), "vp", vp_sigmas, 4, 1),
    _case("three-0.1-edm-6", uneven_mixture([0.1] * 3), "edm", edm_sigmas, 6, 1),
    _case("three-0.1-vp-12", uneven_mixture([0.1] * 3, 1), "vp", vp_sigmas, 12, 1),
    _case("three-mixed-vp-6-eta0.5", uneven_mixture([0.01, 0.3, 1.0], 2), "vp", vp_sigmas, 6, 0.5),
    _case("three-0.1-edm-64-eta0.3", uneven_mixture([0.1] * 3), "edm", edm_sigmas, 64, 0.3),
    _case("five-0.05-vp-8-eta0.5", uneven_mixture([0.05] * 5), "vp", vp_sigmas, 8, 0.5),
    _case(
        "five-mixed-logsnr-16",
        uneven_mixture([0.01, 0.02, 0.1, 0.3, 0.05], 1),
        "edm",
        log_snr_sigmas,
        16,
        1,
    ),
    _case("five-1-edm-4", uneven_mixture([1.0] * 5), "edm", edm_sigmas, 4, 1),
    _case(
        "five-0.05-entropic-4-eta0.3", uneven_mixture([0.05] * 5), "edm", FIVE_ENTROPIC_4, 4, 0.3
    ),
    _case("eight-0.01-uniform-1", uneven_mixture([0.01] * 8), "edm", uniform_sigmas, 1, 1),
    _case("eight-0.3-uniform-2", uneven_mixture([0.3] * 8, 0.5), "edm", uniform_sigmas, 2, 1),
    _case("ten-0.01-uniform-4", uneven_mixture([0.01] * 10), "edm", uniform_sigmas, 4, 1),
    _case("ten-0.06-edm-3", uneven_mixture([0.06] * 10), "edm", edm_sigmas, 3, 1),
    _case("ten-0.1-entropic-8", uneven_mixture([0.1] * 10), "edm", TEN_ENTROPIC_8, 8, 1),
    _case("ten-0.1-vp-64", uneven_mixture([0.1] * 10), "vp", vp_sigmas, 64, 1),
    _case("fifteen-0.05-edm-16", uneven_mixture([0.05] * 15), "edm", edm_sigmas, 16, 1),
    _case(
        "fifteen-0.05-arctan-8", uneven_mixture([0.05] * 15, 0.3), "vp", arctan_sigmas, 8, 1, c=1.0
    ),
    _case("fifteen-0.05-rescaled-6", uneven_mixture([0.05] * 15), "vp", FIFTEEN_RESCALED_6, 6, 1),
    _case("fifteen-0.05-edm-32", uneven_mixture([0.05] * 15), "edm", edm_sigmas, 32, 1),
    _case(
        "twenty-0.02-cosine-16-eta0.3", uneven_mixture([0.02] * 20), "vp", cosine_sigmas, 16, 0.3
    ),
    _case("twenty-0.02-logsnr-12", uneven_mixture([0.02] * 20), "edm", log_snr_sigmas, 12, 1),
    _case("twenty-0.01-vp-2", uneven_mixture([0.01] * 20, 1), "vp", vp_sigmas, 2, 1),
    _case("five-0.1-edm-4-from-data", uneven_mixture([0.1] * 5), "edm", edm_sigmas, 4, 1, "data"),
    _case(
        "ten-0.05-vp-6-eta0.5-from-data",
        uneven_mixture([0.05] * 10),
        "vp",
        vp_sigmas,
        6,
        0.5,
        "data",
    ),
    _case("gauss-0.3-arctan-6-eta0", uneven_mixture([0.3]), "edm", arctan_sigmas, 6, 0, c=0.3),
    _case(
        "two-0.01-and-1-arctan-12-eta0",
        uneven_mixture([0.01, 1.0]),
        "edm",
        arctan_sigmas,
        12,
        0,
        c=0.5,
    ),
    _case("three-0.1-edm-1-eta0", uneven_mixture([0.1] * 3), "edm", edm_sigmas, 1, 0),
    _case("five-0.3-cosine-2-eta0", uneven_mixture([0.3] * 5, 1), "vp", cosine_sigmas, 2, 0),
    _case("eight-0.01-uniform-4-eta0", uneven_mixture([0.01] * 8), "edm", uniform_sigmas, 4, 0),
    _case("ten-0.06-edm-16-eta0", uneven_mixture([0.06] * 10), "edm", edm_sigmas, 16, 0),
    _case("ten-0.1-logsnr-64-eta0", uneven_mixture([0.1] * 10, 1), "edm", log_snr_sigmas, 64, 0),
    _case("fifteen-0.05-vp-8-eta0", uneven_mixture([0.05] * 15), "vp", vp_sigmas, 8, 0),
    _case(
        "twenty-0.02-entropic-32-eta0",
        uneven_mixture([0.02] * 20),
        "edm",
        TWENTY_ENTROPIC_32,
        32,
        0,
    ),
    _case(
        "three-0.1-edm-6-eta0-from-data", uneven_mixture([0.1] * 3), "edm", edm_sigmas, 6, 0, "data"
    ),
]

LAW_KL = {  # case.kl()[0], good to 12 digits or 1e-14
    "gauss-1-edm-8": 0.38318202451994227,
    "gauss-0.05-edm-3-eta0.5": 22.751001195883365,
    "two-0.3-logsnr-4": 2.4421702207065983,
    "two-0.01-and-1-edm-8": 0.5346407302006294,
    "two-weights-1000-to-1-vp-4": 13.784336770561051,
    "three-0.1-edm-6": 1.5157726959739906,
    "three-0.1-vp-12": 1.2401507599498136,
    "three-mixed-vp-6-eta0.5": 0.3540867898117483,
    "three-0.1-edm-64-eta0.3": 0.006513769564856992,
    "five-0.05-vp-8-eta0.5": 1.9359613853702213,
    "five-mixed-logsnr-16": 0.12251127768446571,
    "five-1-edm-4": 1.7583590943982355,
    "five-0.05-entropic-4-eta0.3": 13.073483830482724,
    "eight-0.01-uniform-1": 7660.242741698799,
    "eight-0.3-uniform-2": 1959.005532300342,
    "ten-0.01-uniform-4": 966.9556706438108,
    "ten-0.06-edm-3": 6.890568954097931,
    "ten-0.1-entropic-8": 0.94587944577249,
    "ten-0.1-vp-64": 0.023666655895511618,
    "fifteen-0.05-edm-16": 0.14894258753956402,
    "fifteen-0.05-arctan-8": 0.6561554160008221,
    "fifteen-0.05-rescaled-6": 0.9381350004853717,
    "fifteen-0.05-edm-32": 0.03464520359676988,
    "twenty-0.02-cosine-16-eta0.3": 0.41131420051515155,
    "twenty-0.02-logsnr-12": 0.224154885686914,
    "twenty-0.01-vp-2": 28.64696215534085,
    "five-0.1-edm-4-from-data": 3.4747235272450485,
    "ten-0.05-vp-6-eta0.5-from-data": 1.6364982853580352,
    "gauss-0.3-arctan-6-eta0": 0.048528080892105585,
    "two-0.01-and-1-arctan-12-eta0": 0.11747820572829654,
    "three-0.1-edm-1-eta0": 4384.9575862294805,
    "five-0.3-cosine-2-eta0": 2.6032432666702694,
    "eight-0.01-uniform-4-eta0": 624.9773615331778,
    "ten-0.06-edm-16-eta0": 0.09200004757928491,
    "ten-0.1-logsnr-64-eta0": 0.004201145779450514,
    "fifteen-0.05-vp-8-eta0": 0.8023548043952018,
    "twenty-0.02-entropic-32-eta0": 0.06658496834073457,
    "three-0.1-edm-6-eta0-from-data": 0.7388936005523941,
}
