"""Compiled kernels on float64 arrays and scalars; arguments are not checked.

All kernels and the choice of numba's flags are in this one file, because the cache on disk notices
an edit of this file but not of a file that it imports.

Paths are processed in full blocks of BLOCK lanes, as a structure of arrays. LLVM then vectorises
the innermost loop, and no path is computed by a scalar remainder loop, so that the result of a path
does not depend on its block or its place in the block. exp, log and cos are implemented here (range
reduction and a nearly minimax polynomial), because those of the C library do not vectorise and
differ between hosts.
"""

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from theory.caches import keep_compiled
from theory.checks import Array

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
F = TypeVar("F", bound=Callable[..., Any])
BLOCK = 256  # paths per block; the working set of the 1-D kernel fits into the L1 cache
CHUNK = 64  # components between two renormalisations of the running softmax
GROUP = 4  # components per pass of the 1-D loops; the wrapper pads to a multiple
MAX_SLOPE = 1e280  # bound on slopes, which may exceed float64 at unstable points; q is 0 there
LIMIT = 1e130  # bound on states in the responsibilities, so that their squares are finite
MOMENT_LIMIT = 1e60  # bound on offsets, so that their fourth powers are finite
NO_WEIGHT = -1e300  # log weight of a padding component
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238  # its product with any exponent is exact
LN2_LOW = 1.9082149292705877e-10
ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, kept in the low bits


_LOCK = Lock()


def kernel(func: F) -> F:
    """A function that is compiled, with all others of this file, when one of them is first called.

    A command that needs no kernel then does not wait for numba.
    """

    @wraps(func)
    def first(*arguments: Any) -> Any:
        return _compiled(func.__name__)(*arguments)

    first.plain = func  # type: ignore[attr-defined]
    return cast("F", first)


def _compiled(name: str) -> Any:
    """The compiled kernel of that name; numba finds those that it calls among the globals."""
    with _LOCK:
        waiting = {k: f.plain for k, f in globals().items() if hasattr(f, "plain")}
        if waiting:
            decorate = _decorator(keep_compiled(__file__))
            globals().update({k: decorate(f) for k, f in waiting.items()})
    return globals()[name]


def _decorator(is_kept: bool) -> Callable[[Any], Any]:
    """Numba's decorator with a cache on disk, NumPy's division rules and fused multiply-add.

    The order of operations is that of IEEE. Full fastmath is no faster, and may reorder sums, so
    that results would depend on the vector width. nogil allows plain threads to share the work.

    Args:
        is_kept: Whether compiled code is kept on disk.
    """
    import numba

    return numba.njit(cache=is_kept, nogil=True, error_model="numpy", fastmath={"contract"})


# ---------------------------------------------------------------------------------------------
# Elementary functions


@kernel
def exp_nonpositive(x: float) -> float:
    """The exponential of x <= 0, to 1 ulp; below -708 it is exp(-708) = 3e-308."""
    x = max(x, -708.0)
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = 2.5100375832561234e-08
    p = p * r + 2.7620075879983367e-07
    p = p * r + 2.7557268480310024e-06
    p = p * r + 2.4801521322368692e-05
    p = p * r + 0.00019841269863040545
    p = p * r + 0.0013888888917196719
    p = p * r + 0.008333333333330065
    p = p * r + 0.041666666666624164
    p = p * r + 0.16666666666666669
    p = p * r + 0.5
    p = p * r * r + r + 1.0
    bits = np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << np.int64(52))
    return np.int64(bits).view(np.float64)


@kernel
def log_positive(x: float) -> float:
    """The logarithm of a positive normal number, to 1 ulp, or to 1e-16 near 1."""
    bits = np.float64(x).view(np.int64)
    # Split x = 2**e * m with m in [sqrt(1/2), sqrt(2)).
    e = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    m = np.int64(bits - (e << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    w = s * s
    p = 0.14616449685043406
    p = p * w + 0.15331721600556042
    p = p * w + 0.18182889125261723
    p = p * w + 0.2222221113479508
    p = p * w + 0.28571428625975487
    p = p * w + 0.39999999999899505
    p = p * w + 0.666666666666667
    return float(e * LN2_HIGH + (2.0 * s + (s * w * p + e * LN2_LOW)))


@kernel
def cos_turns(v: float) -> float:
    """The cosine cos(2 pi v) for v in [0, 1), to 1e-16."""
    quarter = np.rint(4.0 * v)
    f = v - 0.25 * quarter  # exact, in [-1/8, 1/8]
    w = f * f
    c = -1.6990343940660637
    c = c * w + 7.903206911569678
    c = c * w - 26.426253275854723
    c = c * w + 60.24464135270201
    c = c * w - 85.4568172066438
    c = c * w + 64.93939402266824
    c = c * w - 19.739208802178716
    cosine = c * w + 1.0
    s = -0.7124440626783193
    s = s * w + 3.8198307439800163
    s = s * w - 15.094641279579799
    s = s * w + 42.0586939378057
    s = s * w - 76.70585975304292
    s = s * w + 81.60524927607504
    s = s * w - 41.34170224039976
    sine = f * w * s + f * 6.283185307179586
    value = sine if (quarter == 1.0) | (quarter == 3.0) else cosine
    return float(-value if (quarter == 1.0) | (quarter == 2.0) else value)


@kernel
def exp_array(x: Array, out: Array) -> None:
    """Fill out with exp of the non-positive numbers x; `entropic speed` compares with this."""
    for i in range(x.size):
        out[i] = exp_nonpositive(x[i])


def simd_bits() -> int:
    """Width in bits of the vectors that LLVM uses, from a new compilation; 0 without a compiler."""
    plain = getattr(_compiled("exp_array"), "py_func", None)
    if plain is None:  # the compiler is off
        return 0
    fresh = _decorator(is_kept=False)(plain)
    fresh(np.zeros(1), np.zeros(1))
    code = "".join(fresh.inspect_asm().values())
    return 512 if "%zmm" in code else 256 if "%ymm" in code else 128


# ---------------------------------------------------------------------------------------------
# Noise as a pure function of (seed, path, step, coordinate)


@kernel
def philox(c0: int, c1: int, path: int, k0: int, k1: int, high: Words, low: Words) -> None:
    """Philox4x32-10 (Salmon et al. 2011) of counters (c0, c1, path + i) and key (k0, k1).

    The path fills the upper 64 bits of the counter. high[i] holds the first two of the four 32-bit
    words and low[i] the other two, with the earlier word in the upper half. The rounds are inside
    the loop over lanes, since LLVM does not vectorise across a call.
    """
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for i in range(high.size):
        p = np.uint64(path) + np.uint64(i)
        a, b, c, d = np.uint64(c0), np.uint64(c1), p & mask, p >> shift
        ka, kb = np.uint64(k0), np.uint64(k1)
        for _ in range(10):
            left, right = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
            a = (right >> shift) ^ b ^ ka
            b = right & mask
            c = (left >> shift) ^ d ^ kb
            d = left & mask
            ka = (ka + np.uint64(0x9E3779B9)) & mask
            kb = (kb + np.uint64(0xBB67AE85)) & mask
        high[i] = (a << shift) | b
        low[i] = (c << shift) | d


@kernel
def fill_normals(
    seed: int, path: int, step: int, coord: int, high: Words, low: Words, out: Array
) -> None:
    """Fill out with standard normals of paths path, path + 1, ..., by Box-Muller.

    Each number takes one Philox call with counter (coord, step, path) and key (seed, 0). high and
    low, of the size of out, are work space.
    """
    cut = np.uint64(11)
    philox(coord, step, path, seed, 0, high, low)
    for i in range(out.size):
        u = (float(np.int64(high[i] >> cut)) + 1.0) * 2.0**-53  # in (0, 1]
        v = float(np.int64(low[i] >> cut)) * 2.0**-53  # in [0, 1)
        out[i] = np.sqrt(-2.0 * log_positive(u)) * cos_turns(v)


# ---------------------------------------------------------------------------------------------
# Posterior of a mixture. Components: log_weights (K,), means (K, d), stds (K, d), K padded to a
# multiple of GROUP with NO_WEIGHT. States: structure of arrays (d, n), n a multiple of BLOCK.


@kernel
def log_priors(sigma: float, log_weights: Array, stds: Array) -> Array:
    """Log weight minus half the log determinant of each noisy component, shape (K,).

    The determinants are relative to the first component's, so that a common std adds no rounding.
    """
    k_max, d = stds.shape
    out = np.empty(k_max)
    for k in range(k_max):
        out[k] = log_weights[k]
        for j in range(d):
            if stds[k, j] != stds[0, j]:
                first = stds[0, j] * stds[0, j] + sigma * sigma
                out[k] -= 0.5 * log_positive((stds[k, j] * stds[k, j] + sigma * sigma) / first)
    return out


@kernel
def _block_1d(
    x: Array,
    sigma: float,
    priors: Array,
    means: Array,
    stds: Array,
    common: bool,
    peak: Array,
    total: Array,
    pulled: Array,
    shrink: Array,
) -> None:
    """Running softmax of one block in 1-D: sums of r, r (1 - rho) mean and r rho over exp(peak).

    rho = std**2 / (std**2 + sigma**2). With a common std the last sum is not computed.
    """
    var = sigma * sigma
    for i in range(BLOCK):
        total[i] = 0.0
        pulled[i] = 0.0
        shrink[i] = 0.0
        peak[i] = -1e308
    for begin in range(0, priors.size, CHUNK):
        end = min(begin + CHUNK, priors.size)
        before = peak.copy()
        for k in range(begin, end, GROUP):
            p0, p1, p2, p3 = priors[k], priors[k + 1], priors[k + 2], priors[k + 3]
            c0, c1, c2, c3 = means[k, 0], means[k + 1, 0], means[k + 2, 0], means[k + 3, 0]
            h0 = 0.5 / (stds[k, 0] * stds[k, 0] + var)
            h1 = 0.5 / (stds[k + 1, 0] * stds[k + 1, 0] + var)
            h2 = 0.5 / (stds[k + 2, 0] * stds[k + 2, 0] + var)
            h3 = 0.5 / (stds[k + 3, 0] * stds[k + 3, 0] + var)
            for i in range(BLOCK):
                xi = x[i]
                z0, z1, z2, z3 = xi - c0, xi - c1, xi - c2, xi - c3
                e0, e1 = p0 - z0 * z0 * h0, p1 - z1 * z1 * h1
                e2, e3 = p2 - z2 * z2 * h2, p3 - z3 * z3 * h3
                peak[i] = max(peak[i], max(max(e0, e1), max(e2, e3)))
        if begin > 0:
            for i in range(BLOCK):
                scale = exp_nonpositive(before[i] - peak[i])
                total[i] *= scale
                pulled[i] *= scale
                shrink[i] *= scale
        for k in range(begin, end, GROUP):
            p0, p1, p2, p3 = priors[k], priors[k + 1], priors[k + 2], priors[k + 3]
            c0, c1, c2, c3 = means[k, 0], means[k + 1, 0], means[k + 2, 0], means[k + 3, 0]
            v0 = stds[k, 0] * stds[k, 0]
            v1 = stds[k + 1, 0] * stds[k + 1, 0]
            v2 = stds[k + 2, 0] * stds[k + 2, 0]
            v3 = stds[k + 3, 0] * stds[k + 3, 0]
            h0, h1, h2, h3 = 0.5 / (v0 + var), 0.5 / (v1 + var), 0.5 / (v2 + var), 0.5 / (v3 + var)
            a0, a1 = c0 * (var / (v0 + var)), c1 * (var / (v1 + var))
            a2, a3 = c2 * (var / (v2 + var)), c3 * (var / (v3 + var))
            if common:
                for i in range(BLOCK):
                    xi, top = x[i], peak[i]
                    z0, z1, z2, z3 = xi - c0, xi - c1, xi - c2, xi - c3
                    r0 = exp_nonpositive(p0 - z0 * z0 * h0 - top)
                    r1 = exp_nonpositive(p1 - z1 * z1 * h1 - top)
                    r2 = exp_nonpositive(p2 - z2 * z2 * h2 - top)
                    r3 = exp_nonpositive(p3 - z3 * z3 * h3 - top)
                    total[i] += (r0 + r1) + (r2 + r3)
                    pulled[i] += (r0 * a0 + r1 * a1) + (r2 * a2 + r3 * a3)
            else:
                b0, b1, b2, b3 = v0 / (v0 + var), v1 / (v1 + var), v2 / (v2 + var), v3 / (v3 + var)
                for i in range(BLOCK):
                    xi, top = x[i], peak[i]
                    z0, z1, z2, z3 = xi - c0, xi - c1, xi - c2, xi - c3
                    r0 = exp_nonpositive(p0 - z0 * z0 * h0 - top)
                    r1 = exp_nonpositive(p1 - z1 * z1 * h1 - top)
                    r2 = exp_nonpositive(p2 - z2 * z2 * h2 - top)
                    r3 = exp_nonpositive(p3 - z3 * z3 * h3 - top)
                    total[i] += (r0 + r1) + (r2 + r3)
                    pulled[i] += (r0 * a0 + r1 * a1) + (r2 * a2 + r3 * a3)
                    shrink[i] += (r0 * b0 + r1 * b1) + (r2 * b2 + r3 * b3)


@kernel
def _denoise_1d(
    x: Array,
    clipped: Array,
    sigma: float,
    priors: Array,
    means: Array,
    stds: Array,
    common: bool,
    peak: Array,
    total: Array,
    pulled: Array,
    shrink: Array,
    out: Array,
) -> None:
    """Fill out with E[x0 | x] of one 1-D block; peak and total then give the log density."""
    for i in range(BLOCK):
        clipped[i] = min(max(x[i], -LIMIT), LIMIT)
    _block_1d(clipped, sigma, priors, means, stds, common, peak, total, pulled, shrink)
    if common:
        rho = stds[0, 0] * stds[0, 0] / (stds[0, 0] * stds[0, 0] + sigma * sigma)
        for i in range(BLOCK):
            out[i] = pulled[i] / total[i] + rho * x[i]
    else:
        for i in range(BLOCK):
            out[i] = pulled[i] / total[i] + shrink[i] / total[i] * x[i]


@kernel
def _denoise_nd(
    x: Array,
    at: int,
    sigma: float,
    priors: Array,
    means: Array,
    stds: Array,
    peak: Array,
    total: Array,
    logs: Array,
    pulled: Array,
    shrink: Array,
    out: Array,
) -> None:
    """Fill out (d, BLOCK) with E[x0 | x] of lanes at .. at + BLOCK of x (d, n).

    A running softmax, as in 1-D. logs (CHUNK, BLOCK), pulled and shrink (d, BLOCK) are work space.
    """
    k_max, d = means.shape
    var = sigma * sigma
    total[:] = 0.0
    pulled[:] = 0.0
    shrink[:] = 0.0
    peak[:] = -1e308
    for begin in range(0, k_max, CHUNK):
        end = min(begin + CHUNK, k_max)
        before = peak.copy()
        for k in range(begin, end):
            row = logs[k - begin]
            for i in range(BLOCK):
                row[i] = priors[k]
            for j in range(d):
                c = means[k, j]
                h = 0.5 / (stds[k, j] * stds[k, j] + var)
                lane = x[j, at : at + BLOCK]
                for i in range(BLOCK):
                    z = min(max(lane[i], -LIMIT), LIMIT) - c
                    row[i] -= z * z * h
            for i in range(BLOCK):
                peak[i] = max(peak[i], row[i])
        for i in range(BLOCK):
            before[i] = exp_nonpositive(before[i] - peak[i])
            total[i] *= before[i]
        for j in range(d):
            for i in range(BLOCK):
                pulled[j, i] *= before[i]
                shrink[j, i] *= before[i]
        for k in range(begin, end):
            row = logs[k - begin]
            for i in range(BLOCK):
                row[i] = exp_nonpositive(row[i] - peak[i])
                total[i] += row[i]
            for j in range(d):
                v = stds[k, j] * stds[k, j]
                a, b = means[k, j] * (var / (v + var)), v / (v + var)
                for i in range(BLOCK):
                    pulled[j, i] += row[i] * a
                    shrink[j, i] += row[i] * b
    for j in range(d):
        for i in range(BLOCK):
            out[j, i] = pulled[j, i] / total[i] + shrink[j, i] / total[i] * x[j, at + i]


@kernel
def has_common_std(stds: Array) -> bool:
    """True if all components have the same std; stds has shape (K, 1)."""
    common = True
    for k in range(stds.shape[0]):
        common &= stds[k, 0] == stds[0, 0]
    return common


@kernel
def denoise(
    x: Array, sigma: float, log_weights: Array, means: Array, stds: Array, out: Array, logs: Array
) -> None:
    """Fill out (d, n) with E[x0 | x] and logs (n,) with log p_sigma(x) for x (d, n) in full blocks.

    The log density lacks the constant of the first component's determinant, which the caller adds.
    An array logs of size 0 is not filled.
    """
    d, n = x.shape
    priors = log_priors(sigma, log_weights, stds)
    peak, total = np.empty(BLOCK), np.empty(BLOCK)
    if d == 1:
        common = has_common_std(stds)
        pulled, shrink, clipped = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
        for at in range(0, n, BLOCK):
            lane, res = x[0, at : at + BLOCK], out[0, at : at + BLOCK]
            _denoise_1d(
                lane, clipped, sigma, priors, means, stds, common, peak, total, pulled, shrink, res
            )
            if logs.size > 0:
                for i in range(BLOCK):
                    logs[at + i] = peak[i] + log_positive(total[i])
    else:
        work = np.empty((CHUNK, BLOCK))
        pulls, shrinks, res2 = np.empty((d, BLOCK)), np.empty((d, BLOCK)), np.empty((d, BLOCK))
        for at in range(0, n, BLOCK):
            _denoise_nd(x, at, sigma, priors, means, stds, peak, total, work, pulls, shrinks, res2)
            for j in range(d):
                for i in range(BLOCK):
                    out[j, at + i] = res2[j, i]
            if logs.size > 0:
                for i in range(BLOCK):
                    logs[at + i] = peak[i] + log_positive(total[i])


@kernel
def denoise_slope(
    x: Array,
    sigma: float,
    log_weights: Array,
    means: Array,
    stds: Array,
    out: Array,
    slope: Array,
) -> None:
    """Fill out with E[x0 | x] and slope with its derivative Var(x0 | x) / sigma**2 in 1-D, (n,).

    A third pass sums the variance about the posterior mean, so that nothing cancels.
    """
    var = sigma * sigma
    priors = log_priors(sigma, log_weights, stds)
    common = has_common_std(stds)
    peak, total = np.empty(BLOCK), np.empty(BLOCK)
    pulled, shrink, clipped = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for at in range(0, x.size, BLOCK):
        lane, res, der = x[at : at + BLOCK], out[at : at + BLOCK], slope[at : at + BLOCK]
        _denoise_1d(
            lane, clipped, sigma, priors, means, stds, common, peak, total, pulled, shrink, res
        )
        for i in range(BLOCK):
            der[i] = 0.0
        for k in range(priors.size):
            p, c, v = priors[k], means[k, 0], stds[k, 0] * stds[k, 0]
            h, a, b = 0.5 / (v + var), var / (v + var), v / (v + var)
            for i in range(BLOCK):
                z = clipped[i] - c
                r = exp_nonpositive(p - z * z * h - peak[i])
                gap = min(max(c * a + b * lane[i] - res[i], -LIMIT), LIMIT) / sigma
                der[i] += r * (b + gap * gap)
        for i in range(BLOCK):
            der[i] /= total[i]


@kernel
def denoise_derivatives(
    x: Array, sigma: float, log_weights: Array, means: Array, stds: Array, out: Array
) -> None:
    """Fill out (4, n) with E[x0 | x] in 1-D and its first three derivatives in x.

    With the posterior cumulants k_j of x0, the derivatives are k_2 / sigma^2, k_3 / sigma^4 and
    k_4 / sigma^6. A third pass sums central moments about the posterior mean.
    """
    var = sigma * sigma
    priors = log_priors(sigma, log_weights, stds)
    common = has_common_std(stds)
    peak, total = np.empty(BLOCK), np.empty(BLOCK)
    pulled, shrink, clipped = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for at in range(0, x.size, BLOCK):
        lane, res = x[at : at + BLOCK], out[0, at : at + BLOCK]
        two, three = out[1, at : at + BLOCK], out[2, at : at + BLOCK]
        four = out[3, at : at + BLOCK]
        _denoise_1d(
            lane, clipped, sigma, priors, means, stds, common, peak, total, pulled, shrink, res
        )
        for i in range(BLOCK):
            two[i] = 0.0
            three[i] = 0.0
            four[i] = 0.0
        for k in range(priors.size):
            p, c, v = priors[k], means[k, 0], stds[k, 0] * stds[k, 0]
            h, a, b = 0.5 / (v + var), var / (v + var), v / (v + var)
            for i in range(BLOCK):
                z = clipped[i] - c
                r = exp_nonpositive(p - z * z * h - peak[i])
                gap = (c * a + b * lane[i] - res[i]) / sigma
                gap = min(max(gap, -MOMENT_LIMIT), MOMENT_LIMIT)
                square = gap * gap
                two[i] += r * (b + square)
                three[i] += r * gap * (3.0 * b + square)
                four[i] += r * (3.0 * b * b + square * (6.0 * b + square))
        for i in range(BLOCK):
            m2 = two[i] / total[i]
            two[i] = m2
            three[i] /= total[i] * sigma
            four[i] = (four[i] / total[i] - 3.0 * m2 * m2) / var


# ---------------------------------------------------------------------------------------------
# Applying a solver table


@kernel
def walk_slopes(
    sigma: Array,
    keep: Array,
    weights: Array,
    log_weights: Array,
    means: Array,
    stds: Array,
    states: Array,
    slopes: Array,
) -> None:
    """Fill states and slopes (rows + 1, n) below the first row, which is given, in 1-D.

    x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D_{r-h}, and its derivative, which is
    kept within MAX_SLOPE.
    """
    rows, n = sigma.size, states.shape[1]
    outputs, output_slopes = np.empty((rows, n)), np.empty((rows, n))
    for r in range(rows):
        denoise_slope(states[r], sigma[r], log_weights, means, stds, outputs[r], output_slopes[r])
        new, new_slope = states[r + 1], slopes[r + 1]
        for i in range(n):
            output_slopes[r, i] *= slopes[r, i]
            new[i] = 0.0
            new_slope[i] = 0.0
        for h in range(min(r + 1, keep.shape[1])):
            k, w = keep[r, h], weights[r, h]
            if k != 0.0:
                for i in range(n):
                    new[i] += k * states[r - h, i]
                    new_slope[i] += k * slopes[r - h, i]
            if w != 0.0:
                for i in range(n):
                    new[i] += w * outputs[r - h, i]
                    new_slope[i] += w * output_slopes[r - h, i]
        for i in range(n):
            new_slope[i] = min(max(new_slope[i], -MAX_SLOPE), MAX_SLOPE)


@kernel
def walk(
    x: Array,
    seed: int,
    path: int,
    sigma: Array,
    keep: Array,
    weights: Array,
    noise: Array,
    log_weights: Array,
    means: Array,
    stds: Array,
    trace: Array,
) -> None:
    """Apply a solver table to states x (d, n) in place.

    x_{r+1} = sum_h keep[r, h] x_{r-h} + sum_h weights[r, h] D_{r-h} + noise[r] z. Lane i has the
    noise of path + i, and row r that of step r + 1. trace (rows + 1, d, n) receives all states,
    unless it has no rows.
    """
    d, n = x.shape
    n_rows, n_back = keep.shape
    states, outputs = np.empty((n_back + 1, d, n)), np.empty((n_back, d, n))
    no_logs = np.empty(0)
    z, high, low = np.empty(BLOCK), np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)
    states[0] = x
    for r in range(n_rows):
        now, after = r % (n_back + 1), (r + 1) % (n_back + 1)
        newest = outputs[r % n_back]
        if trace.shape[0] > 0:
            trace[r] = states[now]
        denoise(states[now], sigma[r], log_weights, means, stds, newest, no_logs)
        for j in range(d):
            for at in range(0, n, BLOCK):
                new = states[after, j, at : at + BLOCK]
                old, den = states[now, j, at : at + BLOCK], newest[j, at : at + BLOCK]
                k, w, s = keep[r, 0], weights[r, 0], noise[r]
                if s != 0.0:
                    fill_normals(seed, path + at, r + 1, j, high, low, z)
                    for i in range(BLOCK):
                        new[i] = k * old[i] + w * den[i] + s * z[i]
                else:
                    for i in range(BLOCK):
                        new[i] = k * old[i] + w * den[i]
                for h in range(1, min(n_back, r + 1)):
                    k, w = keep[r, h], weights[r, h]
                    if k != 0.0 or w != 0.0:
                        old = states[(r - h) % (n_back + 1), j, at : at + BLOCK]
                        den = outputs[(r - h) % n_back, j, at : at + BLOCK]
                        for i in range(BLOCK):
                            new[i] += k * old[i] + w * den[i]
    x[:] = states[n_rows % (n_back + 1)]
    if trace.shape[0] > 0:
        trace[n_rows] = x


# ---------------------------------------------------------------------------------------------
# State-dependent iterations of paper C: formulas in theory.solvers.reducing, constants of every
# step in toys.reducing

RE_MULTI, RE_MULTI_2025, EVODIFF = 0, 1, 2
SMALLEST = 1e-300  # a ratio with a denominator below this is 0
CLIP = 2.0
MANY_STEPS = 20  # with more steps the released code has another zeta
N_WEIGHTS = 5  # beta1, r', beta2, eta, zeta


@kernel
def _ratio(top: float, bottom: float) -> float:
    """The quotient; 0 if the denominator is below SMALLEST."""
    return float(top / bottom if bottom >= SMALLEST else 0.0)


@kernel
def _clipped(top: float, bottom: float) -> float:
    """The quotient clipped to [-2, 2]."""
    return float(min(max(_ratio(top, bottom), -CLIP), CLIP))


@kernel
def _dot(u: Array, v: Array, row: int, m: int, at: int, out: Array) -> None:
    """Fill out (BLOCK,) with inner products of u and v (d, n) over rows row .. row + m - 1."""
    out[:] = 0.0
    for j in range(row, row + m):
        left, right = u[j, at : at + BLOCK], v[j, at : at + BLOCK]
        for i in range(BLOCK):
            out[i] += left[i] * right[i]


@kernel
def _probe(
    x: Array,
    d0: Array,
    d1: Array,
    row: int,
    m: int,
    at: int,
    c: Array,
    evodiff: bool,
    work: Array,
    beta1: Array,
    widen: Array,
    out: Array,
) -> None:
    """Fill one block and channel of out (d, n) with the probe.

    For evodiff, beta1 and widen receive beta1 and 1 / r', shape (BLOCK,) each. c are the constants
    of the step, in the order of `toys.reducing.constants`.
    """
    rho, bh, h = c[0], c[1], c[2]
    if evodiff:
        top, bottom = work[0], work[1]
        _dot(d0, d1, row, m, at, top)
        _dot(d1, d1, row, m, at, bottom)
        inverse_r, share, rest = 1.0 / c[3], c[4], (1.0 - c[4]) * c[5]
        for i in range(BLOCK):
            beta1[i] = rest + share * _clipped(top[i], bottom[i])
            # r' = r sigmoid(|beta1| / 4) is in [r / 2, r): the clip to [r / 4, 3 r / 2] never acts.
            widen[i] = inverse_r * (1.0 + exp_nonpositive(-0.25 * abs(beta1[i])))
        for j in range(row, row + m):
            xs, new = x[j, at : at + BLOCK], d0[j, at : at + BLOCK]
            old, res = d1[j, at : at + BLOCK], out[j, at : at + BLOCK]
            for i in range(BLOCK):
                step = 0.5 * bh * widen[i] * (new[i] - beta1[i] * old[i])
                res[i] = rho * xs[i] + bh * new[i] + step
    else:
        k = 0.5 * bh * h * c[3]
        for j in range(row, row + m):
            xs, new = x[j, at : at + BLOCK], d0[j, at : at + BLOCK]
            old, res = d1[j, at : at + BLOCK], out[j, at : at + BLOCK]
            for i in range(BLOCK):
                res[i] = rho * xs[i] + bh * new[i] + k * (new[i] - old[i])


@kernel
def _re_multi_step(
    x: Array,
    d0: Array,
    d1: Array,
    dt: Array,
    probe: Array,
    row: int,
    m: int,
    at: int,
    c: Array,
    mu: float,
    sign: float,
    work: Array,
    eta: Array,
    zeta: Array,
) -> None:
    """Make one step of re_multi for one block and channel of x (d, n), in place."""
    rho, bh, h, on_l, on_s, share, inverse_h1, a = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    inverse_h, ah, twice, inverse_ah = 1.0 / h, a * h, 2.0 / rho, 1.0 / (a * h)
    top, bottom, along, norm = work[0], work[1], work[2], work[3]
    for i in range(BLOCK):
        top[i], bottom[i], along[i], norm[i] = 0.0, 0.0, 0.0, 0.0
    for j in range(row, row + m):
        new, old = d0[j, at : at + BLOCK], d1[j, at : at + BLOCK]
        far, place = dt[j, at : at + BLOCK], probe[j, at : at + BLOCK]
        for i in range(BLOCK):
            before = (new[i] - old[i]) * inverse_h1
            ahead = far[i] - new[i]
            gap = before - ahead * inverse_h
            d = share * ahead
            top[i] += gap * before
            bottom[i] += gap * gap
            along[i] += d * (twice * place[i] - ah * (far[i] + new[i]))
            norm[i] += d * d
    for i in range(BLOCK):
        eta[i] = 1.0 / (1.0 + exp_nonpositive(-abs(_ratio(top[i], bottom[i]))))
        v = sign * (abs(_ratio(along[i], norm[i])) * inverse_ah - mu)
        e = exp_nonpositive(-abs(v))
        zeta[i] = (1.0 if v >= 0.0 else e) / (1.0 + e)
    scale = 0.5 * bh * h
    for j in range(row, row + m):
        xs, new = x[j, at : at + BLOCK], d0[j, at : at + BLOCK]
        old, far = d1[j, at : at + BLOCK], dt[j, at : at + BLOCK]
        for i in range(BLOCK):
            half = 0.5 * eta[i]
            slope = half * on_s * (far[i] - new[i]) + (1.0 - half) * on_l * (new[i] - old[i])
            xs[i] = rho * xs[i] + bh * new[i] + scale * zeta[i] * slope


@kernel
def _evodiff_step(
    x: Array,
    d0: Array,
    d1: Array,
    dt: Array,
    probe: Array,
    row: int,
    m: int,
    at: int,
    c: Array,
    mu: float,
    many: bool,
    work: Array,
    beta1: Array,
    widen: Array,
    beta2: Array,
    eta: Array,
    inverse_zeta: Array,
) -> None:
    """Make one step of evodiff for one block and channel of x (d, n), in place."""
    rho, bh, h, r, share, rest = c[0], c[1], c[2], c[3], c[4], (1.0 - c[4]) * c[5]
    inverse_r, inverse_h, inverse_bh = 1.0 / r, 1.0 / h, 1.0 / bh
    top, bottom, along, norm = work[0], work[1], work[2], work[3]
    _dot(dt, d0, row, m, at, top)
    _dot(d0, d0, row, m, at, bottom)
    for i in range(BLOCK):
        beta2[i] = rest + share * _clipped(top[i], bottom[i])
        top[i], bottom[i], along[i], norm[i] = 0.0, 0.0, 0.0, 0.0
    for j in range(row, row + m):
        new, old = d0[j, at : at + BLOCK], d1[j, at : at + BLOCK]
        far = dt[j, at : at + BLOCK]
        for i in range(BLOCK):
            back = (new[i] - beta1[i] * old[i]) * (inverse_r * inverse_h)
            ahead = (far[i] - beta2[i] * new[i]) * (r * inverse_h)
            top[i] += (ahead + back) * (ahead - back)
            bottom[i] += (ahead - back) * (ahead - back)
    for i in range(BLOCK):
        e = exp_nonpositive(-0.5 * abs(_clipped(top[i], bottom[i])))
        eta[i] = 0.5 / (1.0 + e)
    for j in range(row, row + m):
        xs, new = x[j, at : at + BLOCK], d0[j, at : at + BLOCK]
        old, far = d1[j, at : at + BLOCK], dt[j, at : at + BLOCK]
        place = probe[j, at : at + BLOCK]
        for i in range(BLOCK):
            g1, g2 = new[i] - beta1[i] * old[i], far[i] - beta2[i] * new[i]
            slope = r * (1.0 - eta[i]) * g2 - eta[i] * inverse_r * g1
            moved = place[i] - (rho * xs[i] + bh * new[i]) - 0.5 * bh * widen[i] * slope
            along[i] += moved * g1
            norm[i] += g1 * g1
    for i in range(BLOCK):
        v = abs(_clipped(along[i], norm[i])) * inverse_bh - mu
        along[i] = v
    if many:
        for i in range(BLOCK):
            top[i], bottom[i] = 0.0, 0.0
        for j in range(row, row + m):
            new, old = d0[j, at : at + BLOCK], d1[j, at : at + BLOCK]
            for i in range(BLOCK):
                change = (new[i] - old[i]) * inverse_h
                top[i] += new[i] * change
                bottom[i] += change * change
        for i in range(BLOCK):
            hot = _clipped(top[i], bottom[i]) * (2.0 - rho * rho)
            e = exp_nonpositive(-abs(hot))
            along[i] *= -(1.0 if hot >= 0.0 else e) / (1.0 + e)
    for i in range(BLOCK):
        v = along[i]
        e = exp_nonpositive(-abs(v))
        inverse_zeta[i] = (1.0 + e) / (1.0 if v >= 0.0 else e)
    for j in range(row, row + m):
        xs, new = x[j, at : at + BLOCK], d0[j, at : at + BLOCK]
        old, far = d1[j, at : at + BLOCK], dt[j, at : at + BLOCK]
        for i in range(BLOCK):
            g1, g2 = new[i] - beta1[i] * old[i], far[i] - beta2[i] * new[i]
            slope = r * (1.0 - eta[i]) * g2 - eta[i] * inverse_r * g1
            xs[i] = rho * xs[i] + bh * new[i] + 0.5 * bh * inverse_zeta[i] * slope


@kernel
def walk_reducing(
    x: Array,
    levels: Array,
    constants: Array,
    rule: int,
    mu: float,
    channels: int,
    special_last: bool,
    denoise_last: bool,
    log_weights: Array,
    means: Array,
    stds: Array,
    trace: Array,
    used: Array,
) -> None:
    """Apply a state-dependent iteration at levels (K + 1,) to states x (d, n) in place.

    constants (K, 8) are those of `toys.reducing.constants`; channels divides d. trace
    (n_steps + 1, d, n) receives the states at the levels and used (K, 5, channels, n) the weights,
    unless these arrays have no rows.
    """
    d, n = x.shape
    k_max = levels.size - 1
    d0, d1, dt, probe = np.zeros((d, n)), np.zeros((d, n)), np.zeros((d, n)), np.zeros((d, n))
    work, no_logs = np.empty((4, BLOCK)), np.empty(0)
    weights = np.empty((channels, N_WEIGHTS, n))
    if trace.shape[0] > 0:
        trace[0] = x
    if k_max > 0:
        denoise(x, levels[0], log_weights, means, stds, d0, no_logs)
    m, evodiff = d // channels, rule == EVODIFF
    for k in range(k_max):
        c = constants[k]
        rho, bh = c[0], c[1]
        last = k == k_max - 1
        if k == 0:
            for j in range(d):
                for i in range(n):
                    x[j, i] = rho * x[j, i] + bh * d0[j, i]
            if k_max > 1:
                d1[:] = d0
                denoise(x, levels[1], log_weights, means, stds, d0, no_logs)
        elif last and special_last:
            shrink = 1.0 - np.sqrt(levels[k] * levels[k + 1])
            back = 1.0 - 0.5 * np.sqrt(rho if rho < 0.5 else rho - 0.5)
            for j in range(d):
                for i in range(n):
                    now = rho * x[j, i] + bh * d0[j, i]
                    x[j, i] = shrink * now + 0.5 * bh * (d0[j, i] - back * d1[j, i])
        else:
            for at in range(0, n, BLOCK):
                lanes = slice(at, at + BLOCK)
                for ch in range(channels):
                    w = weights[ch]
                    _probe(
                        x, d0, d1, ch * m, m, at, c, evodiff, work, w[0, lanes], w[1, lanes], probe
                    )
            denoise(probe, levels[k + 1], log_weights, means, stds, dt, no_logs)
            for at in range(0, n, BLOCK):
                lanes = slice(at, at + BLOCK)
                for ch in range(channels):
                    w = weights[ch]
                    if evodiff:
                        _evodiff_step(
                            x,
                            d0,
                            d1,
                            dt,
                            probe,
                            ch * m,
                            m,
                            at,
                            c,
                            mu,
                            k_max > MANY_STEPS,
                            work,
                            w[0, lanes],
                            w[1, lanes],
                            w[2, lanes],
                            w[3, lanes],
                            w[4, lanes],
                        )
                    else:
                        _re_multi_step(
                            x,
                            d0,
                            d1,
                            dt,
                            probe,
                            ch * m,
                            m,
                            at,
                            c,
                            mu,
                            1.0 if rule == RE_MULTI else -1.0,
                            work,
                            w[3, lanes],
                            w[4, lanes],
                        )
            if used.shape[0] > 0:
                for ch in range(channels):
                    used[k, :, ch] = weights[ch]
                    if evodiff:  # r' and zeta from their inverses
                        used[k, 1, ch] = 1.0 / weights[ch, 1]
                        used[k, 4, ch] = 1.0 / weights[ch, 4]
            d1, d0, dt = d0, dt, d1
        if trace.shape[0] > 0:
            trace[k + 1] = x
    if denoise_last:
        denoise(x, levels[k_max], log_weights, means, stds, d0, no_logs)
        x[:] = d0
        if trace.shape[0] > 0:
            trace[k_max + 1] = x


# ---------------------------------------------------------------------------------------------
# Posterior of a 1-D mixture at quadrature nodes, for the exact information curves

# Rows of a table (9, K) of components, sorted by mean. var = std**2 + sigma**2 is the variance of
# the noisy component; OWN is Var(x0 | x, component) and PULL is sigma**2 / var.
W, LOG_W, MEAN, STD, INVERSE_VAR, LOG_STD, BASE, OWN, PULL = range(9)
LOG_ROOT_2PI = 0.9189385332046727
LEFT_OUT = 64.0  # nats below the second most likely component at which others are left out
NO_ODDS = 200.0  # nats below the second most likely component at which odds are 0
WIDEST = 8.0  # largest ratio of the noisy stds for one uniform step
MOST_NODES = 2048  # of the first trapezoid rule, per 64 components
TAIL = 10.0  # noisy stds beyond the outermost means; the rest is below 1e-18
FIRST_STEP = 0.8  # step of the first trapezoid rule, in smallest noisy stds
HALVINGS = 4  # of that step
# Relative difference of two nested rules at which the finer one is kept, per halving. The integrand
# of two components at a distance of g stds has poles pi / g stds off the real axis, where it is
# below exp(-g**2 / 8). The finer rule is therefore better than their difference, most so at small
# steps.
AGREE = (0.0, 1e-13, 1e-12, 1e-11, 1e-11)
SMALLEST = 1e-280  # below it sums of plain numbers lose digits
FAINT = 100.0  # nats below the first at which a second component is left out of the rules
FAINT_SMALLEST = 1e-26  # smallest result, relative to what it can be, where that was done
KNOWN = 0.5  # largest share of H(w) that E H(r) may have where E KL(r || w) is the difference


@kernel
def _phi_series(y: float) -> float:
    """The function y e^y - e^y + 1 to rounding, for |y| <= 0.3; it is y**2 / 2 near 0."""
    series = 0.0
    for n in range(15, 1, -1):  # sum of y**n / (n (n - 2)!), Horner's rule in the factorials
        series = series * y / max(n - 1, 1) + 1.0 / n
    return y * y * series


@kernel
def _channel_table(
    sigma: float, w: Array, log_w: Array, mean: Array, std: Array, table: Array, scales: Array
) -> None:
    """Fill table (9, K), and scales (4,) with the largest var, its log std, 1 / var, smallest std.

    scales[0] is negative if all stds are equal.
    """
    var0 = sigma * sigma
    for k in range(w.size):
        var = std[k] * std[k] + var0
        table[W, k], table[LOG_W, k] = w[k], log_w[k]
        table[MEAN, k], table[STD, k] = mean[k], std[k]
        table[INVERSE_VAR, k], table[LOG_STD, k] = 1.0 / var, 0.5 * np.log(var)
        table[BASE, k] = log_w[k] - table[LOG_STD, k]
        table[OWN, k], table[PULL, k] = std[k] * std[k] * (var0 / var), var0 / var
    scales[0] = 1.0 / table[INVERSE_VAR].min()
    scales[1], scales[2] = table[LOG_STD].max(), table[INVERSE_VAR].min()
    scales[3] = np.sqrt(1.0 / table[INVERSE_VAR].max())
    if std.min() == std.max():
        scales[0] = -scales[0]


@kernel
def _window(
    start: float, offset: float, near: int, table: Array, scales: Array
) -> tuple[int, int, int, float, float]:
    """Window (low, high) of components that count at start + offset, the most likely, two scores.

    near is the index of a component close to the state. Those outside of the window have a density,
    without their weights, LEFT_OUT nats below that of the second most likely component with its
    weight. The scores are those of the two most likely components.
    """
    mean, inverse, base = table[MEAN], table[INVERSE_VAR], table[BASE]
    k_max, var_max = mean.size, abs(scales[0])
    b = offset + (start - mean[near])
    best, ref = base[near] - 0.5 * b * b * inverse[near], near
    floor = -np.inf
    for k in (near - 1, near + 1):
        if 0 <= k < k_max:
            b = offset + (start - mean[k])
            floor = max(floor, min(best, base[k] - 0.5 * b * b * inverse[k]) - LEFT_OUT)
    second, low, high = -np.inf, near, near + 1
    for step in (1, -1):
        k = near + step
        while 0 <= k < k_max:
            b = offset + (start - mean[k])
            # Beyond the largest std, the widest component has the largest density.
            if b * b > var_max and -0.5 * b * b * scales[2] - scales[1] < floor:
                break
            score = base[k] - 0.5 * b * b * inverse[k]
            if score > best:
                second, best, ref = best, score, k
            else:
                second = max(second, score)
            floor = max(floor, second - LEFT_OUT)
            k += step
        if step == 1:
            high = k
        else:
            low = k + 1
    return low, high, ref, best, second


@kernel
def _odds(
    start: float, offset: float, low: int, ref: int, table: Array, same: bool, work: Array
) -> tuple[float, float]:
    """Fill work[:4] for the window `table`; returns log odds of the second, largest |log ratio|.

    The rows are, relative to the component ref, the log ratios of the densities, the log odds, the
    differences of the posterior means, and the odds divided by those of the second.
    """
    log_w, mean, std, inverse, pull = table[LOG_W], table[MEAN], table[STD], table[4], table[PULL]
    ratio, log_odds, shift, odds = work[0], work[1], work[2], work[3]
    b_ref = offset + (start - mean[ref])
    # Products of differences for components of similar width, and plain terms for others, where
    # nothing cancels.
    for k in range(mean.size):
        b, gap = offset + (start - mean[k]), mean[k] - mean[ref]
        ratio[k] = 0.5 * gap * (b + b_ref) * inverse[k]
        shift[k] = pull[k] * gap
    if not same:
        for k in range(mean.size):
            b = offset + (start - mean[k])
            widen = (std[k] - std[ref]) * (std[k] + std[ref]) * inverse[ref]
            if -0.5 < widen < 1.0:
                if widen != 0.0:
                    ratio[k] += 0.5 * (b_ref * b_ref * widen * inverse[k] - np.log1p(widen))
                    shift[k] += pull[k] * widen * b_ref
            else:
                ratio[k] = 0.5 * (b_ref * b_ref * inverse[ref] - b * b * inverse[k])
                ratio[k] -= table[LOG_STD, k] - table[LOG_STD, ref]
                shift[k] = pull[ref] * b_ref - pull[k] * b
    second, span = -np.inf, 0.0
    for k in range(mean.size):
        log_odds[k] = ratio[k] + (log_w[k] - log_w[ref])
        if k != ref:
            second = max(second, log_odds[k])
            span = max(span, abs(ratio[k]))
    for k in range(mean.size):
        below = min(log_odds[k] - second, 0.0)
        # Products with smaller odds would be denormal, and slow.
        odds[k] = exp_nonpositive(below) if below > -NO_ODDS else 0.0
    odds[ref] = 0.0
    return second, span


@kernel
def _gain(
    ref: int, rest: float, log_norm: float, small: float, span: float, table: Array, work: Array
) -> float:
    """Divergence KL(r || w) = sum_k w_k phi(y_k), phi(y) = y e^y - e^y + 1, y = log(r_k / w_k).

    rest is the weight of the components outside of the window `table`, whose phi is 1.
    """
    w, ratio, odds = table[W], work[0], work[3]
    shift = table[LOG_W, ref] + log_norm
    if span < 0.5 and rest == 0.0:
        shift = 0.0
        for k in range(w.size):
            shift += w[k] * np.expm1(ratio[k])
        shift = np.log1p(shift)
    scale = small * np.exp(-log_norm)
    total = rest
    for k in range(w.size):
        y = ratio[k] - shift
        if abs(y) > 0.3:
            r = np.exp(-log_norm) if k == ref else odds[k] * scale
            total += (y - 1.0) * r + w[k]
        else:
            total += w[k] * _phi_series(y)
    return total


@kernel
def _posterior(
    start: float,
    offset: float,
    near: int,
    table: Array,
    outside: Array,
    scales: Array,
    faint: float,
    with_gain: bool,
    work: Array,
    found: Array,
) -> int:
    """Fill found (7,) at start + offset; returns the number of components that were visited.

    With the second most likely component's odds e^s: p(x) without the other components, in logs; s;
    log of p(x) over the former; the variance within the components; that between them and H(r),
    both divided by e^s; and KL(r || w). Where s < -faint, other components than the first are left
    out, and found[1] is -inf.
    """
    low, high, ref, best, other = _window(start, offset, near, table, scales)
    found[0] = best - LOG_ROOT_2PI
    if other - best < -faint:
        found[1], found[2], found[3], found[4], found[5] = -np.inf, 0.0, table[OWN, ref], 0.0, 0.0
        y, w = -table[LOG_W, ref], table[W, ref]
        rest = outside[0, ref] + outside[1, ref + 1]
        found[6] = rest + (y - 1.0 + w if y > 0.3 else w * _phi_series(y))
        return high - low
    view, ref = table[:, low:high], ref - low
    second, span = _odds(start, offset, low, ref, view, scales[0] < 0.0, work)
    own, log_odds, shift, odds = view[OWN], work[1], work[2], work[3]
    total, first, within, cost = 0.0, 0.0, 0.0, 0.0
    for k in range(high - low):
        total += odds[k]
        first += odds[k] * shift[k]
        within += odds[k] * own[k]
        cost -= odds[k] * log_odds[k]
    small = np.exp(second)
    t = small * total
    norm, log_norm = 1.0 + t, np.log1p(t)
    centre = small * first / norm
    between = small * (first / norm) * (first / norm)
    for k in range(high - low):
        gap = shift[k] - centre
        between += odds[k] * gap * gap
    share = log_norm / t if t > 1e-200 else 1.0
    found[1], found[2] = second, log_norm
    found[3], found[4] = (own[ref] + small * within) / norm, between / norm
    found[5] = share * total + cost / norm
    if with_gain:
        rest = outside[0, low] + outside[1, high]
        found[6] = _gain(ref, rest, log_norm, small, span, view, work)
    return high - low


@kernel
def posterior_logs(
    start: Array,
    offset: Array,
    near: Ints,
    sigma: float,
    w: Array,
    log_w: Array,
    mean: Array,
    std: Array,
    outside: Array,
    out: Array,
) -> int:
    """Fill out (4, P, n) with the logs of p(x), Var(x0 | x), H(r) and KL(r || w).

    x = start (P,) + offset (P, n); r are the responsibilities of the components (K,), at least two
    and sorted by mean, given x, and w their weights; near (P,) are indices of components close to
    start. outside (2, K + 1) are the total weights below and from an index on. Only components that
    count at x are visited; their total number is returned.

    Everything is computed relative to the most likely component, with differences of squares as
    products and the odds of the second most likely component factored out. All four therefore keep
    their relative accuracy, however small they are.
    """
    k_max, visited = mean.size, 0
    table, work = np.empty((9, k_max)), np.empty((4, k_max))
    scales, found = np.empty(4), np.empty(7)
    _channel_table(sigma, w, log_w, mean, std, table, scales)
    for p in range(offset.shape[0]):
        k = near[p]
        for i in range(offset.shape[1]):
            off = offset[p, i]
            while k + 1 < k_max and off + (start[p] - mean[k + 1]) > 0.0:
                k += 1
            while k > 0 and off + (start[p] - mean[k]) < 0.0:
                k -= 1
            visited += _posterior(
                start[p], off, k, table, outside, scales, 1e300, True, work, found
            )
            inner, outer = np.log(found[3]), found[1] + np.log(found[4])
            top = max(inner, outer)
            if top > -np.inf:  # at sigma = 0 nothing is uncertain
                top += np.log1p(np.exp(min(inner, outer) - top))
            out[0, p, i], out[1, p, i] = found[0] + found[2], top
            out[2, p, i], out[3, p, i] = found[1] + np.log(found[5]), np.log(found[6])
    return visited


@kernel
def _add_nodes(
    begin: float,
    stride: float,
    count: int,
    table: Array,
    outside: Array,
    scales: Array,
    with_gain: bool,
    work: Array,
    sums: Array,
) -> tuple[int, bool]:
    """Fill sums (3,) over nodes of Var, H and KL times p; returns visits, and whether any is faint.

    The nodes, relative to the first mean, are begin + stride * i, i < count.
    """
    mean, found = table[MEAN], np.empty(7)
    visited, faint, near = 0, False, 0
    # Even the lightest component has then a density, without its weight, that is negligible.
    limit = FAINT - table[LOG_W].min()
    sums[:] = 0.0
    for i in range(count):
        x = begin + i * stride
        while near + 1 < mean.size and mean[near + 1] - mean[0] < x:
            near += 1
        offset = x - (mean[near] - mean[0])
        visited += _posterior(
            mean[near], offset, near, table, outside, scales, limit, with_gain, work, found
        )
        faint = faint or found[1] == -np.inf
        p, small = np.exp(found[0] + found[2]), np.exp(found[1])
        sums[0] += p * (found[3] + small * found[4])
        sums[1] += p * (small * found[5])
        sums[2] += p * found[6]
    return visited, faint


@kernel
def trapezoid_moments(
    sigma: float,
    w: Array,
    log_w: Array,
    mean: Array,
    std: Array,
    outside: Array,
    label_entropy: float,
    out: Array,
) -> int:
    """Fill out (3,) with E Var(x0 | x), E H(r) and E KL(r || w) by nested trapezoid rules.

    The rule converges geometrically on an analytic integrand. It is kept where halving its step
    changes no integral, E H(r) only if all stds are 0. Its nodes are a third of a step off the
    middle, so that nested rules cannot agree by symmetry. label_entropy is H(w).

    Returns the number of components visited, or -1 where the rules do not agree. The components are
    as in `posterior_logs`.
    """
    k_max, visited, with_gain, faint = mean.size, 0, True, False
    table, work = np.empty((9, k_max)), np.empty((4, k_max))
    scales, sums = np.empty(4), np.empty(3)
    _channel_table(sigma, w, log_w, mean, std, table, scales)
    std_max, length, points = np.sqrt(abs(scales[0])), mean[k_max - 1] - mean[0], not std.any()
    step = FIRST_STEP * scales[3]
    if std_max > WIDEST * scales[3] or length > MOST_NODES * step * max(1.0, k_max / 64.0):
        return -1
    middle = 0.5 * length + step / 3.0
    half = int(np.ceil((0.5 * length + TAIL * std_max) / step))
    for halving in range(HALVINGS + 1):
        shift, stride = (0.0, step) if halving == 0 else (step, 2.0 * step)
        count = 2 * half if halving < 2 else half * 2**halving
        begin = middle + shift - stride * (count // 2)
        visits, any_faint = _add_nodes(
            begin, stride, count, table, outside, scales, with_gain, work, sums
        )
        visited, faint, moved = visited + visits, faint or any_faint, 0.0
        for q in range(3):
            fine = sums[q] * step if halving == 0 else 0.5 * out[q] + sums[q] * step
            if (q == 0 and sigma > 0.0) or (q == 1 and points) or (q == 2 and with_gain):
                largest = length * length if q == 0 else 1.0
                if q < 2 and fine < (FAINT_SMALLEST * largest if faint else SMALLEST):
                    return -1
                change = abs(fine - out[q]) / fine
                moved = max(moved, change - 1e-15 * abs(np.log(fine)))
            out[q] = fine
        if halving == 0:
            with_gain = not points or out[1] > KNOWN * label_entropy
        elif moved < AGREE[halving]:
            if with_gain:
                return visited
            out[2] = label_entropy - out[1]
            return visited if out[2] > 0.25 * label_entropy else -1
        # The logarithm of the error at most doubles per halving.
        elif moved ** (2.0 ** (HALVINGS - halving)) > AGREE[HALVINGS]:
            return -1
        step *= 0.5
    return -1


@kernel
def cut_cells(
    left: Array, right: Array, begin: Ints, offset: Array, scale: Array, cuts: Array
) -> int:
    """Fill cuts (3, n) with cell, left and right end of panels between features; returns n.

    Cell c spans left[c] to right[c]; its features, in increasing order of their offsets, are those
    from begin[c] to begin[c + 1]. A feature within 0.4 of its scale of the last cut makes no cut.
    """
    count = 0
    for cell in range(left.size):
        last = left[cell]
        for i in range(begin[cell], begin[cell + 1]):
            if offset[i] - last > 0.4 * scale[i]:
                cuts[0, count], cuts[1, count], cuts[2, count] = cell, last, offset[i]
                last = offset[i]
                count += 1
        cuts[0, count], cuts[1, count], cuts[2, count] = cell, last, right[cell]
        count += 1
    return count


# ---------------------------------------------------------------------------------------------
# Densities that are sums of many Gaussians of equal width, for the exact law of a sampler

LANES = 16  # Gaussians per panel: the nodes of one Gauss-Legendre panel of the previous row
CUT = 48.0  # nats below the largest term at which terms are left out; error < 1e-14 in 1e4 panels


@kernel
def log_gaussian_sums(
    y: Array, centre: Array, mean: Array, log_mass: Array, std: float, half_width: float, out: Array
) -> None:
    """Fill out (n,) with log sum_i exp(log_mass_i) N(y; mean_i, std**2).

    The terms are in panels (P, LANES), sorted by centre (P,), with all means within half_width of
    the centre. The sum extends outward from the panel nearest to y until the largest remaining
    mass, at its distance, is negligible. It is therefore accurate in the far tails too, where
    distant heavy panels exceed near light ones.
    """
    n_panels = centre.size
    means, masses = mean.ravel(), log_mass.ravel()
    top, ahead, behind = np.empty(n_panels), np.empty(n_panels + 1), np.empty(n_panels + 1)
    for j in range(n_panels):
        top[j] = log_mass[j].max()
    ahead[n_panels] = -np.inf
    for j in range(n_panels - 1, -1, -1):
        ahead[j] = max(top[j], ahead[j + 1])
    behind[0] = -np.inf
    for j in range(n_panels):
        behind[j + 1] = max(top[j], behind[j])
    h = 0.5 / (std * std)
    constant = np.log(std) + 0.9189385332046727
    terms = np.empty(n_panels * LANES)
    for i in range(y.size):
        at = y[i]
        middle = np.searchsorted(centre, at)
        low, high = -np.inf, -np.inf  # bounds of the largest term from below and from above
        right = middle
        while right < n_panels:
            d = max(centre[right] - at - half_width, 0.0)
            if ahead[right] - d * d * h < low - CUT:
                break
            far = abs(centre[right] - at) + half_width
            low = max(low, top[right] - far * far * h)
            high = max(high, top[right] - d * d * h)
            right += 1
        left = middle
        while left > 0:
            d = max(at - centre[left - 1] - half_width, 0.0)
            if behind[left] - d * d * h < low - CUT:
                break
            left -= 1
            far = abs(centre[left] - at) + half_width
            low = max(low, top[left] - far * far * h)
            high = max(high, top[left] - d * d * h)
        # Slices, so that the loops run from 0: LLVM does not vectorise an index that may wrap.
        m, a = means[LANES * left : LANES * right], masses[LANES * left : LANES * right]
        if high - low > 300.0:  # bounds too loose for the shift, far away: use the maximum
            high = -np.inf
            for j in range(m.size):
                z = at - m[j]
                high = max(high, a[j] - z * z * h)
        for j in range(m.size):
            z = at - m[j]
            terms[j] = exp_nonpositive(a[j] - z * z * h - high)
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for j in range(0, m.size, 4):
            s0 += terms[j]
            s1 += terms[j + 1]
            s2 += terms[j + 2]
            s3 += terms[j + 3]
        out[i] = high + np.log((s0 + s1) + (s2 + s3)) - constant


@kernel
def gaussian_sums_adjoint(
    y: Array,
    seed: Array,
    log_density: Array,
    centre: Array,
    mean: Array,
    log_mass: Array,
    std: float,
    half_width: float,
    by_mass: Array,
    by_mean: Array,
    by_y: Array,
) -> float:
    """Derivatives of sum_i seed_i log_density_i, for the log densities of `log_gaussian_sums`.

    Adds those by log_mass and by mean to by_mass and by_mean (P, LANES), fills by_y (n,) with those
    by y, and returns the one by std.
    """
    n_panels = centre.size
    means, masses = mean.ravel(), log_mass.ravel()
    d_mean, d_mass = by_mean.ravel(), by_mass.ravel()
    ahead, behind = np.empty(n_panels + 1), np.empty(n_panels + 1)
    ahead[n_panels] = -np.inf
    for j in range(n_panels - 1, -1, -1):
        ahead[j] = max(log_mass[j].max(), ahead[j + 1])
    behind[0] = -np.inf
    for j in range(n_panels):
        behind[j + 1] = max(log_mass[j].max(), behind[j])
    h = 0.5 / (std * std)
    constant = np.log(std) + 0.9189385332046727
    terms, gaps = np.empty(n_panels * LANES), np.empty(n_panels * LANES)
    by_std = 0.0
    for i in range(y.size):
        by_y[i] = 0.0
        if seed[i] == 0.0 or not np.isfinite(log_density[i]):
            continue
        at, total = y[i], log_density[i] + constant
        middle = np.searchsorted(centre, at)
        right = middle
        while right < n_panels:
            d = max(centre[right] - at - half_width, 0.0)
            if ahead[right] - d * d * h < total - CUT:
                break
            right += 1
        left = middle
        while left > 0:
            d = max(at - centre[left - 1] - half_width, 0.0)
            if behind[left] - d * d * h < total - CUT:
                break
            left -= 1
        begin, end = LANES * left, LANES * right
        m, a = means[begin:end], masses[begin:end]
        m_out, a_out = d_mean[begin:end], d_mass[begin:end]
        g = seed[i]
        for j in range(m.size):
            z = at - m[j]
            gaps[j] = z
            terms[j] = g * exp_nonpositive(min(a[j] - z * z * h - total, 0.0))
        for j in range(m.size):
            moved = terms[j] * gaps[j]
            a_out[j] += terms[j]
            m_out[j] += 2.0 * h * moved
            terms[j] = moved
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
        for j in range(0, m.size, 4):
            s0 += terms[j]
            s1 += terms[j + 1]
            s2 += terms[j + 2]
            s3 += terms[j + 3]
            t0 += terms[j] * gaps[j]
            t1 += terms[j + 1] * gaps[j + 1]
            t2 += terms[j + 2] * gaps[j + 2]
            t3 += terms[j + 3] * gaps[j + 3]
        by_y[i] = -2.0 * h * ((s0 + s1) + (s2 + s3))
        by_std += (2.0 * h * ((t0 + t1) + (t2 + t3)) - g) / std
    return by_std
