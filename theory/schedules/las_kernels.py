"""Compiled loops of `theory.schedules.las`: shortest paths over candidates of increasing SNR.

A step i -> j costs risk[i] (phi[j] - phi[i]). Paths have exactly n_steps steps, from the first
candidate to the last. Arguments are plain arrays and are not checked. The cost of a path to
candidate j whose last step starts at i is the line value[i] + risk[i] (phi - phi[i]) at phi[j].
"""

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from theory.caches import keep_compiled
from theory.checks import Array

Ints = NDArray[np.int32]
Shorts = NDArray[np.int16]
F = TypeVar("F", bound=Callable[..., Any])


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
    """Numba's decorator with a cache on disk, NumPy's division rules and IEEE order.

    Args:
        is_kept: Whether compiled code is kept on disk.
    """
    import numba

    return numba.njit(cache=is_kept, nogil=True, error_model="numpy")


@kernel
def _line(i: int, j: int, value: Array, risk: Array, phi: Array) -> float:
    return float(value[i] + risk[i] * (phi[j] - phi[i]))


@kernel
def quadratic_layer(
    k: int, last: int, value: Array, risk: Array, phi: Array, new: Array, back: Ints
) -> None:
    """Cheapest paths of k steps to candidates k .. last by trying every predecessor, O(N^2)."""
    for j in range(k, last + 1):
        new[j] = np.inf
        for i in range(k - 1, j):
            cost = _line(i, j, value, risk, phi)
            if cost < new[j]:
                new[j], back[j] = cost, i


@kernel
def hull_layer(
    k: int, last: int, value: Array, risk: Array, phi: Array, new: Array, back: Ints
) -> None:
    """`quadratic_layer` for risks that never increase, O(N): the lower envelope of the lines.

    Lines enter in the order of decreasing slope and are evaluated at increasing phi, so that the
    envelope is a queue. A line leaves at the end if the new line passes below it before it has
    passed below its own neighbour. It leaves at the front once the next line is lower.
    """
    queue = np.empty(last - k + 2, dtype=np.int32)
    overtakes = np.empty(last - k + 2)  # phi from which a line is below its left neighbour
    head, size = 0, 0
    for j in range(k, last + 1):
        i = j - 1
        place = -np.inf
        while size > head:
            top = queue[size - 1]
            excess = value[i] - _line(top, i, value, risk, phi)
            if risk[top] > risk[i]:
                place = phi[i] + excess / (risk[top] - risk[i])
            else:
                place = np.inf if excess > 0 else -np.inf
            if (size - 1 > head and place <= overtakes[size - 1]) or place == -np.inf:
                size -= 1
            else:
                break
        if size == head or place < np.inf:
            queue[size], overtakes[size] = i, place
            size += 1
        best = _line(queue[head], j, value, risk, phi)
        while head + 1 < size:
            other = _line(queue[head + 1], j, value, risk, phi)
            if other > best:
                break
            head, best = head + 1, other
        new[j], back[j] = best, queue[head]


@kernel
def tree_layer(
    k: int, last: int, value: Array, risk: Array, phi: Array, new: Array, back: Ints
) -> None:
    """`quadratic_layer` for any risks, O(N log N): a Li Chao tree over the candidates.

    Each node of a heap covers a range of candidates and keeps the line that is lowest at its
    middle. The other line can be lower on one side only, and moves down to that side.
    """
    full = 1
    while full < last + 1:
        full *= 2
    tree = np.full(2 * full, -1, dtype=np.int32)
    for j in range(k, last + 1):
        line, node, low, high = j - 1, 1, 0, full - 1
        while True:
            kept = tree[node]
            if kept < 0:
                tree[node] = line
                break
            middle = (low + high) // 2
            # One of two parallel lines is lower everywhere; compare them where rounding is small.
            at = j if risk[line] == risk[kept] else min(middle, last)
            if _line(line, at, value, risk, phi) < _line(kept, at, value, risk, phi):
                tree[node], line, kept = line, kept, line
            if low == high or risk[line] == risk[kept]:
                break
            if risk[line] > risk[kept]:  # the higher line may be lower to the left
                start = max(low, j)  # candidates further left are final
                if middle < j or (
                    _line(line, start, value, risk, phi) >= _line(kept, start, value, risk, phi)
                ):
                    break
                node, high = 2 * node, middle
            else:
                end = min(high, last)
                if _line(line, end, value, risk, phi) >= _line(kept, end, value, risk, phi):
                    break
                node, low = 2 * node + 1, middle + 1
        best, chosen, node = np.inf, 0, full + j
        while node > 0:
            if tree[node] >= 0:
                cost = _line(tree[node], j, value, risk, phi)
                if cost < best:
                    best, chosen = cost, tree[node]
            node //= 2
        new[j], back[j] = best, chosen


@kernel
def first_order(risk: Array, phi: Array, n_steps: int, layer: int, back: Ints) -> float:
    """Cost of the cheapest path without penalty; `back` receives the predecessors.

    Args:
        risk: Risks, shape (N,).
        phi: Axis, shape (N,), strictly increasing.
        n_steps: Number of steps, 1 to N - 1.
        layer: 0 for `quadratic_layer`, 1 for `hull_layer` (risks that never increase), 2 for
            `tree_layer`.
        back: Shape (n_steps + 1, N); row k is filled for the candidates that k steps reach.
    """
    end = risk.size - 1
    value, new = np.empty(end + 1), np.empty(end + 1)
    for j in range(1, end + 1):
        value[j], back[1, j] = risk[0] * (phi[j] - phi[0]), 0
    for k in range(2, n_steps):
        last = end - (n_steps - k)
        if layer == 0:
            quadratic_layer(k, last, value, risk, phi, new, back[k])
        elif layer == 1:
            hull_layer(k, last, value, risk, phi, new, back[k])
        else:
            tree_layer(k, last, value, risk, phi, new, back[k])
        value, new = new, value
    if n_steps == 1:
        return float(value[end])
    best = np.inf
    for i in range(n_steps - 1, end):
        cost = _line(i, end, value, risk, phi)
        if cost < best:
            best, back[n_steps, end] = cost, i
    return best


# ---------------------------------------------------------------------------------------------
# Second order: penalty mu |x[m] - 2 x[j] + x[i]|^power on steps i -> j -> m, with x = log snr


@kernel
def _penalty(bend: float, mu: float, power: float) -> float:
    if power == 2.0:
        return mu * bend * bend
    return float(mu * abs(bend) ** power)


@kernel
def second_order(
    risk: Array, phi: Array, x: Array, n_steps: int, mu: float, power: float, back: Shorts
) -> float:
    """Cost of the cheapest path with penalty; `back` receives the predecessors.

    The state is the last two candidates. For powers of at least 1 the penalty is convex, so that
    the best i decreases as m increases and each pair (step, j) takes O(N log N) by halving. Below
    1 every i is tried.

    Args:
        risk: Risks, shape (N,).
        phi: Axis, shape (N,), strictly increasing.
        x: Log SNR, shape (N,), strictly increasing.
        n_steps: Number of steps, 2 to N - 1.
        mu: Weight of the penalty, at least 0.
        power: Exponent of the penalty, positive.
        back: Shape (n_steps + 1, N, N); back[k, m, j] is the candidate before j on the best path
            of k steps that ends with j -> m.
    """
    end = risk.size - 1
    cost = np.empty((end + 1, end + 1))  # [j, i]: a path that ends with i -> j
    new = np.empty((end + 1, end + 1))
    for j in range(1, end + 1):
        cost[j, 0] = risk[0] * (phi[j] - phi[0])
    stack = np.empty((64, 4), dtype=np.int64)
    for k in range(2, n_steps + 1):
        first_i = k - 2
        last_i = 0 if k == 2 else end
        for j in range(k - 1, end - (n_steps - k)):
            low_m = end if k == n_steps else j + 1
            high_m = end if k == n_steps else end - (n_steps - k)
            high_i = min(j - 1, last_i)
            if power < 1.0:
                for m in range(low_m, high_m + 1):
                    best, chosen = np.inf, first_i
                    for i in range(first_i, high_i + 1):
                        c = cost[j, i] + _penalty(x[m] - 2.0 * x[j] + x[i], mu, power)
                        if c < best:
                            best, chosen = c, i
                    new[m, j], back[k, m, j] = best + risk[j] * (phi[m] - phi[j]), chosen
                continue
            depth = 1
            stack[0] = low_m, high_m, first_i, high_i
            while depth > 0:
                depth -= 1
                m_low, m_high, i_low, i_high = stack[depth]
                m = (m_low + m_high) // 2
                best, chosen = np.inf, i_low
                for i in range(i_low, i_high + 1):
                    c = cost[j, i] + _penalty(x[m] - 2.0 * x[j] + x[i], mu, power)
                    if c < best:
                        best, chosen = c, i
                new[m, j], back[k, m, j] = best + risk[j] * (phi[m] - phi[j]), chosen
                if m_low < m:
                    stack[depth] = m_low, m - 1, chosen, i_high
                    depth += 1
                if m < m_high:
                    stack[depth] = m + 1, m_high, i_low, chosen
                    depth += 1
        cost, new = new, cost
    best, chosen = np.inf, -1
    for j in range(n_steps - 1, end):
        if cost[end, j] < best:
            best, chosen = cost[end, j], j
    back[0, 0, 0] = chosen
    return best


@kernel
def beam(
    risk: Array,
    phi: Array,
    x: Array,
    n_steps: int,
    mu: float,
    power: float,
    width: int,
    radius: int,
    everywhere: Ints,
    from_end: Ints,
    from_slot: Shorts,
) -> float:
    """Cost of the best path that a beam search finds (paper B, algorithm 2).

    At most `width` paths are kept per last candidate, cheapest first. A path that ends with i -> j
    is continued to the candidates within `radius` of the place x = 2 x[j] - x[i] that (F.2)
    predicts, and to those of `everywhere`. The first step is tried to all candidates.

    Args:
        risk: Risks, shape (N,).
        phi: Axis, shape (N,), strictly increasing.
        x: Log SNR, shape (N,), strictly increasing.
        n_steps: Number of steps, 2 to N - 1.
        mu: Weight of the penalty.
        power: Exponent of the penalty.
        width: Number B of paths kept per candidate.
        radius: Half width w of the window.
        everywhere: Indices of the candidates tried from every path, increasing.
        from_end: Receives the previous candidate, shape (n_steps + 1, N, width).
        from_slot: Receives the slot of the path at the previous candidate, same shape.
    """
    end = risk.size - 1
    cost, new = np.full((end + 1, width), np.inf), np.full((end + 1, width), np.inf)
    for j in range(1, end - n_steps + 2):
        cost[j, 0], from_end[1, j, 0], from_slot[1, j, 0] = risk[0] * (phi[j] - phi[0]), 0, 0
    for k in range(2, n_steps + 1):
        new[:] = np.inf
        last = end - (n_steps - k)
        for j in range(k - 1, last):
            for slot in range(width):
                if cost[j, slot] == np.inf:
                    break
                i = from_end[k - 1, j, slot]
                if k == n_steps:
                    low, high, extra = end, end, 0
                else:
                    # Clipped to where the remaining steps can still reach the end.
                    at = min(max(np.searchsorted(x, 2.0 * x[j] - x[i]), j + 1), last)
                    low, high = max(at - radius, j + 1), min(at + radius, last)
                    extra = everywhere.size
                for t in range(low, high + 1 + extra):
                    m = t if t <= high else everywhere[t - high - 1]
                    if t > high and (m <= j or m > last or (low <= m <= high)):
                        continue
                    c = cost[j, slot] + risk[j] * (phi[m] - phi[j])
                    c += _penalty(x[m] - 2.0 * x[j] + x[i], mu, power)
                    if c >= new[m, width - 1]:
                        continue
                    s = width - 1
                    while s > 0 and new[m, s - 1] > c:
                        new[m, s] = new[m, s - 1]
                        from_end[k, m, s] = from_end[k, m, s - 1]
                        from_slot[k, m, s] = from_slot[k, m, s - 1]
                        s -= 1
                    new[m, s], from_end[k, m, s], from_slot[k, m, s] = c, j, slot
        cost, new = new, cost
    return float(cost[end, 0])
