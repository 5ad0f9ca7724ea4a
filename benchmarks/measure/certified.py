"""Proven enclosures of the information of small 1-D mixtures, by ball arithmetic (python-flint).

The channel is x = x0 + sigma eps, entropies in nats. The float64 numbers of a `Mixture` and sigma
count as exact rationals and the weights are normalised exactly, so that every enclosure is proven
for that mixture. Component k has weight w_k, mean m_k, variance s_k^2 of x0 and
v_k = s_k^2 + sigma^2 of x, and the density f_k = N(m_k, v_k) of x; p = sum_k w_k f_k. The posterior
of the component is r_k = w_k f_k / p, the posterior mean of x0 within it
mu_k = m_k + rho_k (x - m_k) with rho_k = s_k^2 / v_k. Then

    mmse = sum_k w_k s_k^2 sigma^2 / v_k + int p V dx,   V = sum_{j<k} r_j r_k (mu_j - mu_k)^2
    H(k | x) = int p H(r) dx,   which is H(x0 | x) for different points (every s_k = 0)
    I(x0; x) = sum_k w_k log(1 + s_k^2 / sigma^2) / 2 + H(w) - H(k | x)

The last difference is E KL(r || w), which is small where sigma is large. The bits that cancel are
added to the working precision. (The integral of KL itself has the same value, but in ball
arithmetic its integrand cancels on every long cell: it took sigma times as many evaluations.)

The middle of the line, [A, B], is cut into cells. In a cell with the likeliest component a as its
anchor the integrands are written in t_k = w_k f_k / (w_a f_a) = exp(e_k), e_k a polynomial of x,
and S = 1 + sum_{k != a} t_k:

    p V = sum_{j<k, k != a} w_k f_k t_j (mu_j - mu_k)^2 / S       (t_a = 1)
    p H(r) = sum_{k != a} w_k f_k [S log S / (S - 1) - e_k]

Both are holomorphic where S != 0, the second if also Re S > 0; Arb's integrator halves a cell
until that is proved. t_k is at most 1 in the cell for any sigma, and no term is negative.

The two tails outside [A, B] add between 0 and a bound T, so the enclosure is [int, int + T]:

* mmse. V is the variance of mu under r, so V <= sum_k r_k (mu_k - c)^2 for any c; and
  p r_k = w_k f_k. Hence T = sum_k w_k E[(mu_k(x) - c)^2; x outside] with x ~ f_k. With phi and Q
  the density and the upper tail of N(0, 1), a tail that starts z deviations above (+) or below (-)
  m_k contributes
  (m_k - c)^2 Q(z) +- 2 (m_k - c) rho_k sqrt(v_k) phi(z) + rho_k^2 v_k (z phi(z) + Q(z)).
* entropy. 0 <= H(r) <= log K, so T = log K P(x outside).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np

from toys.mixture import Mixture

K_LIMIT = 6
SIGMA_LIMITS = (1e-6, 1e6)
DIGITS_LIMIT = 100
CORE_REACH = 10.0  # deviations of every component inside the first [A, B]
RETRIES = 4

Cell = tuple[float, float, int]  # from, to, anchor


@dataclass(frozen=True)
class Enclosure:
    """A closed interval that is proven to hold the number, its ends rounded outward to float64."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """True if value lies in the interval."""
        return bool(self.low <= value <= self.high)

    def relative_distance(self, value: float) -> float:
        """Distance of value to the interval over its largest |end|; 0 inside, inf for nan."""
        if self.contains(value):
            return 0.0
        gap = max(self.low - value, value - self.high)
        size = max(abs(self.low), abs(self.high))
        return float(gap / size) if gap < math.inf and size > 0 else math.inf

    @property
    def relative_width(self) -> float:
        """Width over the largest |end|; 0 for the number 0 itself."""
        size = max(abs(self.low), abs(self.high))
        return (self.high - self.low) / size if size > 0 else 0.0


class Part(NamedTuple):
    """One component, exactly: weight, mean, variance of x0, variance of x."""

    w: Fraction
    m: Fraction
    s2: Fraction
    v: Fraction


def certified(
    toy: Mixture, sigma: float, digits: int = 15, *, reach: float | None = None
) -> dict[str, Enclosure]:
    """Enclosures of "mmse", "entropy_rate", "mutual_information", for points "conditional_entropy".

    The entropy rate is mmse / sigma^3 per unit of sigma (paper A, eq. (13)). Every enclosure is
    valid. If the precision was not sufficient for `digits`, the enclosure is wider than asked for.

    Args:
        toy: One-dimensional, at most 6 different components.
        sigma: Noise level, in [1e-6, 1e6].
        digits: Relative digits of the enclosures before they are rounded to float64.
        reach: Number of deviations of every component beyond which the bound of the tails replaces
            integration. Default: as many as `digits` needs.

    Raises:
        ValueError: If an argument is out of range or python-flint is missing.
    """
    flint, parts = _flint(), _exact(toy, sigma)
    if not (isinstance(digits, (int, np.integer)) and 1 <= digits <= DIGITS_LIMIT):
        raise ValueError(f"digits must be a whole number in [1, {DIGITS_LIMIT}], got {digits!r}")
    if reach is not None and not 0 < reach < math.inf:
        raise ValueError(f"reach must be positive and finite, got {reach!r}")
    goal = math.ceil(digits * math.log2(10))
    found: dict[str, Enclosure] = {}
    for quantity in (_mmse, _information):
        bits = goal + 2
        for _ in range(RETRIES):
            with flint.ctx.workprec(bits + 40 + _lost_bits(parts)):
                balls = quantity(parts, sigma, bits, reach)
                found |= {name: _outward(ball) for name, ball in balls.items()}
                missing = goal - min(ball.rel_accuracy_bits() for ball in balls.values())
            if missing <= 0 or reach is not None:
                break
            bits += min(missing + 8, bits)
    return found


def _mmse(parts: list[Part], sigma: float, bits: int, reach: float | None) -> dict[str, Any]:
    """Balls of the mmse and of the entropy rate."""
    within = _ball(sum(q.w * q.s2 * (q.v - q.s2) / q.v for q in parts))
    mmse = within + _integral(_variance_in, _variance_tail, parts, within, bits, reach)
    return {"mmse": mmse, "entropy_rate": mmse / _ball(sigma) ** 3}


def _information(parts: list[Part], sigma: float, bits: int, reach: float | None) -> dict[str, Any]:
    """Balls of the mutual information and, for points, of the conditional entropy."""
    zero = _ball(0)
    within = sum((_ball(q.w) * _ball(q.s2 / (q.v - q.s2)).log1p() / 2 for q in parts), start=zero)
    prior = -sum((_ball(q.w) * _ball(q.w).log() for q in parts), start=zero)
    entropy = _integral(_entropy_in, _entropy_tail, parts, within, bits, reach)
    balls = {"mutual_information": within + (prior - entropy)}
    if not any(q.s2 for q in parts):
        balls["conditional_entropy"] = entropy
    return balls


def _integral(
    integrand: Callable[[list[Part], int], Callable[[Any, bool], Any]],
    tail: Callable[[list[Part], float, float], Any],
    parts: list[Part],
    known: Any,
    bits: int,
    reach: float | None,
) -> Any:
    """Ball of an integral over the line, to 2^-bits of known + integral if reach is None."""
    acb, goal = _flint().acb, _ball(2) ** -(bits + 4)
    total = _ball(0)
    if len(parts) == 1:
        return total

    def add(low: float, high: float) -> None:
        nonlocal total
        for a, b, anchor in _cells(parts, low, high):
            # Arb stops at the larger of rel_tol of the cell and abs_tol, known from other cells.
            # With a heap the largest error goes first, so a peak soon sets the cell's scale.
            options = {"rel_tol": goal, "abs_tol": (known + total).lower() * goal, "use_heap": True}
            total += acb.integral(integrand(parts, anchor), acb(a), acb(b), **options).real

    z = CORE_REACH if reach is None else reach
    low, high = _ends(parts, z)
    add(low, high)
    while reach is None and not tail(parts, low, high) < (known + total).lower() * goal * 8:
        if not total.is_finite():
            return total
        z *= 1.2
        further = _ends(parts, z)
        add(further[0], low)
        add(high, further[1])
        low, high = further
    half = tail(parts, low, high).upper() / 2
    return total + _flint().arb(half, half)


def _variance_in(parts: list[Part], anchor: int) -> Callable[[Any, bool], Any]:
    """The integrand p V in a cell: (ball of x, unused) -> ball; at S = 0 it divides by 0."""
    terms = _terms(parts, anchor)
    a = parts[anchor]
    lines = []  # mu_j - mu_k = d0 + d1 y with y = x - m_a
    for (j, p), (k, q) in combinations(enumerate(_anchor_first(parts, anchor)), 2):
        rho, rho_2 = p.s2 / p.v, q.s2 / q.v
        d0 = (p.m - a.m) * (1 - rho) - (q.m - a.m) * (1 - rho_2)
        lines.append((j, k, _ball(d0), _ball(rho - rho_2)))
    mean = _ball(a.m)

    def integrand(x: Any, analytic: bool) -> Any:
        e, density = terms(x)
        t = [1, *(c.exp() for c in e)]
        y, density = x - mean, [None, *density]
        pairs = (density[k] * t[j] * (d0 + d1 * y) ** 2 for j, k, d0, d1 in lines)
        return sum(pairs) / sum(t)

    return integrand


def _entropy_in(parts: list[Part], anchor: int) -> Callable[[Any, bool], Any]:
    """The integrand p H(r) in a cell: (ball of x, whether to prove it holomorphic) -> ball."""
    terms = _terms(parts, anchor)

    def integrand(x: Any, analytic: bool) -> Any:
        e, density = terms(x)
        u = sum(c.exp() for c in e)
        gain = (1 + u) * _log_quotient(u, analytic)
        return sum(f * (gain - c) for f, c in zip(density, e, strict=True))

    return integrand


def _log_quotient(u: Any, analytic: bool) -> Any:
    """log(1 + u) / u, not finite where u may meet the branch cut or is too wide to decide."""
    acb, arb = _flint().acb, _flint().arb
    if u.contains(0):
        # |log(1 + u) / u - 1| <= |u| / 2 + |u|^2 / 3 + ... <= |u| / (2 - 2 |u|)
        size = u.abs_upper()
        if not size < 0.5:
            return acb("nan")
        away = arb(0, (size / (2 - 2 * size)).upper())
        return 1 + acb(away, away)
    if analytic and not 1 + u.real > 0:  # a comparison of balls holds for all their points
        return acb("nan")
    return u.log1p() / u


def _terms(parts: list[Part], anchor: int) -> Callable[[Any], tuple[list[Any], list[Any]]]:
    """Function of a ball x: e_k and w_k f_k for the components k other than the anchor a."""
    a, *others = _anchor_first(parts, anchor)
    mean, root = _ball(a.m), (2 * _flint().arb.pi()).sqrt()
    relative, own = [], []  # coefficients of y = x - m_a
    for q in others:
        gap = q.m - a.m
        c0 = _ball(q.w / a.w).log() + _ball(a.v / q.v).log() / 2 - _ball(gap**2 / (2 * q.v))
        relative.append((c0, _ball(gap / q.v), _ball((1 / a.v - 1 / q.v) / 2)))
        c0 = (_ball(q.w) / (root * _ball(q.v).sqrt())).log() - _ball(gap**2 / (2 * q.v))
        own.append((c0, _ball(gap / q.v), _ball(-1 / (2 * q.v))))

    def terms(x: Any) -> tuple[list[Any], list[Any]]:
        y = x.mid() - mean
        h = x - x.mid()

        def quadratic(c0: Any, c1: Any, c2: Any) -> Any:
            # The expansion about the middle of the ball is the tightest; wide cells depend on it.
            bend = c2 * y
            return c0 + y * (c1 + bend) + h * (c1 + 2 * bend + c2 * h)

        return [quadratic(*c) for c in relative], [quadratic(*c).exp() for c in own]

    return terms


def _anchor_first(parts: list[Part], anchor: int) -> list[Part]:
    return [parts[anchor], *parts[:anchor], *parts[anchor + 1 :]]


def _variance_tail(parts: list[Part], low: float, high: float) -> Any:
    """The bound T of the mmse outside [low, high], c being the mean of the data."""
    arb, bound = _flint().arb, _ball(0)
    centre = sum(q.w * q.m for q in parts)
    for q in parts:
        root, off, rho = _ball(q.v).sqrt(), _ball(q.m - centre), _ball(q.s2 / q.v)
        for side, z in zip((-1, 1), _deviations(q, low, high), strict=True):
            phi, upper = (-z * z / 2).exp() / (2 * arb.pi()).sqrt(), _upper(z)
            square = off**2 * upper + rho**2 * _ball(q.v) * (z * phi + upper)
            bound += _ball(q.w) * (square + 2 * side * off * rho * root * phi)
    return bound


def _entropy_tail(parts: list[Part], low: float, high: float) -> Any:
    """The bound T of the entropy outside [low, high]."""
    bound = _ball(0)
    for q in parts:
        bound += _ball(q.w) * sum(_upper(z) for z in _deviations(q, low, high))
    return bound * _ball(len(parts)).log()


def _deviations(q: Part, low: float, high: float) -> tuple[Any, Any]:
    """Distances of low and high from a component's mean in its deviations; positive outwards."""
    root = _ball(q.v).sqrt()
    return _ball(q.m - Fraction(low)) / root, _ball(Fraction(high) - q.m) / root


def _upper(z: Any) -> Any:
    """P(N(0, 1) > z)."""
    return (z / _ball(2).sqrt()).erfc() / 2


def _ends(parts: list[Part], reach: float) -> tuple[float, float]:
    """[A, B], about `reach` deviations beyond every mean."""
    spread = [(float(q.m), reach * math.sqrt(q.v)) for q in parts]
    return min(m - s for m, s in spread), max(m + s for m, s in spread)


def _cells(parts: list[Part], low: float, high: float) -> list[Cell]:
    """Cells that cover [low, high]. Any cuts and anchors are valid; good ones save time."""
    cuts = {low, high}
    for p, q in combinations(parts, 2):
        # log(w_p f_p) - log(w_q f_q) = c0 + c1 z + c2 z^2 about the middle of the two means
        middle, gap = (p.m + q.m) / 2, (p.m - q.m) / 2
        c2, c1 = float(1 / q.v - 1 / p.v) / 2, float(gap / p.v + gap / q.v)
        c0 = math.log(p.w / q.w) + 0.5 * math.log(q.v / p.v) + float(gap**2 * Fraction(c2))
        root = c1 * c1 - 4.0 * c2 * c0
        if root >= 0:
            far = -0.5 * (c1 + math.copysign(math.sqrt(root), c1))
            roots = ([far / c2] if c2 else []) + ([c0 / far] if far else [])
            cuts |= {x for x in (float(middle) + z for z in roots) if low < x < high}
    cells: list[Cell] = []
    for a, b in pairwise(sorted(cuts)):
        x = Fraction(0.5 * (a + b))
        logs = [
            math.log(q.w) - 0.5 * math.log(q.v) - float((x - q.m) ** 2 / (2 * q.v)) for q in parts
        ]
        anchor = logs.index(max(logs))
        if cells and cells[-1][2] == anchor:
            a = cells.pop()[0]
        cells.append((a, b, anchor))
    return cells


def _exact(toy: Mixture, sigma: float) -> list[Part]:
    """The components as rationals, equal ones merged, in rising order."""
    if toy.dim != 1:
        raise ValueError(f"toy must have d = 1, got d = {toy.dim}")
    low, high = SIGMA_LIMITS
    if not (isinstance(sigma, (int, float, np.number)) and low <= sigma <= high):
        raise ValueError(f"sigma must lie in [{low:g}, {high:g}], got {sigma!r}")
    weights: dict[tuple[float, float], Fraction] = {}
    for w, m, s in zip(toy.weights, toy.means[:, 0], toy.stds[:, 0], strict=True):
        key = float(m), float(s)
        weights[key] = weights.get(key, Fraction(0)) + Fraction(float(w))
    if len(weights) > K_LIMIT:
        raise ValueError(f"toy must have at most {K_LIMIT} components, got {len(weights)}")
    total, noise = sum(weights.values()), Fraction(float(sigma)) ** 2
    rows = ((w / total, Fraction(m), Fraction(s) ** 2) for (m, s), w in sorted(weights.items()))
    return [Part(w, m, s2, s2 + noise) for w, m, s2 in rows]


def _lost_bits(parts: list[Part]) -> int:
    """Bits lost in large exponents, or in differences of nearly equal components."""
    lost = 0.0
    for p, q in combinations(parts, 2):
        v = min(p.v, q.v)
        unlike = float((p.m - q.m) ** 2 / v + ((p.s2 - q.s2) / v) ** 2)
        lost = max(lost, abs(math.log2(max(unlike, 1e-300))))
    return math.ceil(lost)


def _ball(value: Fraction | float) -> Any:
    """A ball around a number, exact for whole and float64 numbers."""
    exact = Fraction(value)
    return _flint().arb(_flint().fmpq(exact.numerator, exact.denominator))


def _outward(ball: Any) -> Enclosure:
    """A ball of a number that is at least 0, as floats rounded outward."""
    if not ball.is_finite():
        return Enclosure(0.0, math.inf)
    arb, lower, upper = _flint().arb, ball.lower(), ball.upper()
    low, high = float(lower), float(upper)
    while not arb(low) <= lower:
        low = math.nextafter(low, -math.inf)
    while not arb(high) >= upper:
        high = math.nextafter(high, math.inf)
    return Enclosure(max(low, 0.0), high)


def _flint() -> Any:
    try:
        return import_module("flint")
    except ImportError:
        raise ValueError(
            "python-flint must be installed for enclosures, got none; install the extra certified"
        ) from None
