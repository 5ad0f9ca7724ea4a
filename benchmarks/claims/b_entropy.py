"""Paper B's information quantities: contents, entropies, Assumption 2 (SE), and remarks 2 to 5.

For a discrete law p, iota = -log p(X) is the information content, H its mean, and
h = 2 log sum sqrt p the Renyi entropy of order 1/2, all in nats. (SE) is
E exp(l (iota - H)) <= exp(nu^2 l^2 / 2) for |l| <= 1 / b.
"""

import heapq

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative
from benchmarks.measure.expectation import expect
from benchmarks.measure.mmse_slope import content, probabilities, smallest_nu
from theory.bounds import mmse_slope_bound, renyi_half_bound
from theory.checks import Array
from toys.information import information
from toys.mixture import Mixture

SAMPLES = 2000
HEAVY_TERMS, HEAVY_B = 10_000, 4.0
LN2 = float(np.log(2.0))


def entropy_is_mean_content(case: Case) -> Reading:
    """Definition 1: H = E[-log p(X)] of points."""
    p = probabilities(case.toy)
    return relative(-float(np.sum(p * np.log(p))), information.entropy(case.toy))


def density_entropy(case: Case) -> Reading:
    """Definition 1 for a density: -E log p(x0), with an offset that makes both sides positive."""
    tiny = 1e-6 * float(case.toy.stds.min())
    law = Mixture(case.toy.weights, case.toy.means, np.sqrt(case.toy.stds**2 - tiny**2))
    top = float(case.toy.log_density(case.toy.means[:, 0]).max()) + 1.0
    mean = expect(law, tiny, lambda x: (top + 1.0 - law.log_density(x, tiny))[None])[0]
    return relative(mean, information.entropy(case.toy) + top + 1.0)


def renyi(case: Case) -> Reading:
    """Definition 2: h = 2 log sum sqrt p; and Shannon's H <= h <= log K."""
    p = probabilities(case.toy)
    h = 2.0 * float(np.log(np.sqrt(p).sum()))
    _, mean = content(p)
    order = at_most([mean, h], [h + 1e-14, float(np.log(p.size)) + 1e-14])
    same = relative(h + 1.0, information.renyi_entropy(case.toy, 0.5) + 1.0)
    return same if same.value > order.value else order._replace(value=max(order.value, same.value))


def second_moment(case: Case) -> Reading:
    """Assumption 1: E |x0|^2 is finite; by quadrature of noisy states, and in closed form."""
    sigma, mean = case.sigma, float(case.toy.mean[0])
    found = expect(case.toy, sigma, lambda x: ((x - mean) ** 2)[None])[0]
    return relative(found, case.toy.variance + sigma**2)


def codebook(case: Case) -> Reading:
    """Remark 2: data on a finite codebook have H <= log K (nats) whatever their dimension."""
    p = probabilities(case.toy)
    return at_most(information.entropy(case.toy), float(np.log(p.size)) + 1e-14)


def code_length(case: Case) -> Reading:
    """Remark 3: an optimal code's mean length is in [H, H + log 2): Huffman's, in nats."""
    p = probabilities(case.toy)
    heap = [float(v) for v in p]
    heapq.heapify(heap)
    bits = 0.0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        bits += merged
        heapq.heappush(heap, merged)
    h = information.entropy(case.toy)
    return at_most([h, bits * LN2], [bits * LN2 + 1e-14, h + LN2])


def _field(case: Case) -> tuple[Array, Array, Array]:
    """A Gibbs law on {0, 1}^n from the case's seed: states (2^n, n), energies, probabilities.

    It has factors on single sites, on neighbours and on triples of neighbours.
    """
    rng = case.rng
    n = int(rng.integers(3, 8))
    states = np.array([[(s >> i) & 1 for i in range(n)] for s in range(2**n)])
    energy = states @ rng.normal(size=n)
    for reach in (1, 2):
        strength = rng.normal(size=n - reach)
        energy = energy + (states[:, reach:] ^ states[:, :-reach]) @ strength
    p = np.exp(-(energy - energy.min()))
    return states, energy, p / p.sum()


def energy_and_content(case: Case) -> Reading:
    """Remark 3: for p = exp(-E) / Z, iota - H = E - mean E, so iota concentrates as E does."""
    _, energy, p = _field(case)
    excess, _ = content(p)
    spread = float(np.ptp(energy)) + 1.0
    return relative(excess + spread, energy - p @ energy + spread)


def revealed(case: Case) -> Reading:
    """Remark 3: M_i = E[iota | first i sites] is Doob's martingale from H to iota.

    Its increments are uncorrelated: Var iota = sum E (M_i - M_{i-1})^2.
    """
    states, _, p = _field(case)
    excess, _ = content(p)
    count, codes = states.shape[1], np.arange(len(p))
    last, parts, ends = np.zeros(len(p)), [], []
    for i in range(1, count + 1):
        group = codes % 2**i  # the first i sites are the low bits
        mass = np.bincount(group, weights=p)
        level = (np.bincount(group, weights=p * excess) / mass)[group]
        parts.append(float(p @ (level - last) ** 2))
        ends.append(float(np.abs(level - excess).max()))
        last = level
    reading = relative(sum(parts), p @ excess**2)
    return reading._replace(value=max(reading.value, ends[-1] / float(np.abs(excess).max())))


def no_geometry(case: Case) -> Reading:
    """Remark 4: the bound depends on the weights only, and holds wherever the points are moved."""
    p, rng = probabilities(case.toy), case.rng
    h = information.renyi_entropy(case.toy, 0.5)
    found = []
    for scale in (1e-4, 1e-2, 1.0, 1e2, 1e4):
        moved = Mixture(p, scale * rng.standard_cauchy((p.size, 1)), 0.0)
        y = moved.sample_noisy(SAMPLES, 1.0, case.seed)
        found.append(float(np.mean(moved.posterior_frobenius(y, 1.0) ** 2)))
    return at_most(found, mmse_slope_bound(1.0, h))


def finite_laws_qualify(case: Case) -> Reading:
    """Assumption 2: a finite law has (SE) with nu at most half the range of iota (Hoeffding)."""
    p = probabilities(case.toy)
    excess, _ = content(p)
    return at_most(smallest_nu(p), 0.5 * float(np.ptp(excess)) + 1e-12)


def renyi_identity(case: Case) -> Reading:
    """Proposition 8's identity: h = H + 2 log E exp((iota - H) / 2)."""
    p = probabilities(case.toy)
    excess, mean = content(p)
    found = mean + 2.0 * float(np.log(p @ np.exp(0.5 * excess)))
    return relative(found + 1.0, information.renyi_entropy(case.toy, 0.5) + 1.0)


def renyi_by_shannon(case: Case) -> Reading:
    """Proposition 8: h <= H + nu^2 / 4 for b <= 2, with the smallest nu."""
    p = probabilities(case.toy)
    bound = renyi_half_bound(information.entropy(case.toy), smallest_nu(p))
    return at_most(information.renyi_entropy(case.toy, 0.5), bound + 1e-14)


def narrow_exponents(case: Case) -> Reading:
    """Proposition 8 needs b <= 2: p ~ n^-2, n <= 10^4, satisfies (SE) with b = 4 but not the bound.

    Without the limit on n, h is infinite, while H and the nu for b = 4 are finite.
    """
    p = np.arange(1, HEAVY_TERMS + 1, dtype=np.float64) ** -2.0
    p /= p.sum()
    _, mean = content(p)
    h = 2.0 * float(np.log(np.sqrt(p).sum()))
    return at_most(mean + 0.25 * smallest_nu(p, HEAVY_B) ** 2, h)


def weaker_assumption(case: Case) -> Reading:
    """Remark 5: the bound by h is never larger than the one by H and nu."""
    p = probabilities(case.toy)
    h = information.renyi_entropy(case.toy, 0.5)
    bound = renyi_half_bound(information.entropy(case.toy), smallest_nu(p))
    return at_most(mmse_slope_bound(case.sigma, h), mmse_slope_bound(case.sigma, bound + 1e-14))
