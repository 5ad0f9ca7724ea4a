"""The kernels' noise in torch: N(0, 1) as a pure function of (seed, path, step, coordinate).

The words of Philox4x32-10 equal those of toys/kernels.py on every device. The normal numbers agree
to 1e-14, because logarithm and cosine are torch's. Unsigned words are kept in int64.
"""

import math

import torch
from torch import Tensor

from theory.checks import check_seed, whole

MASK = 0xFFFFFFFF
LEFT, RIGHT = 0xD2511F53, 0xCD9E8D57  # multipliers of Philox4x32
WEYL_A, WEYL_B = 0x9E3779B9, 0xBB67AE85
MOST_AT_ONCE = 2**24  # numbers generated at once: about 1 GiB of work space


def philox_words(seed: int, paths: Tensor, step: int, coords: Tensor) -> tuple[Tensor, ...]:
    """The four 32-bit words of counter (coord, step, path) and key (seed, 0), int64, (B, d) each.

    Args:
        seed: Whole number in [0, 2**32).
        paths: Path numbers, shape (B,), int64, at least 0.
        step: Whole number in [0, 2**32). 0 is the initial noise; row r of a table has step r + 1.
        coords: Coordinate numbers, shape (d,), int64, in [0, 2**32).
    """
    shape = paths.numel(), coords.numel()
    a = coords[None, :].expand(shape)
    b = torch.full(shape, step, dtype=torch.int64, device=paths.device)
    c, d = ((word & MASK)[:, None].expand(shape) for word in (paths, paths >> 32))
    key_a, key_b = seed, 0
    for _ in range(10):
        left, right = LEFT * a, RIGHT * c  # the low 64 bits; signs do not matter
        a, b, c, d = (
            ((right >> 32) & MASK) ^ b ^ key_a,
            right & MASK,
            ((left >> 32) & MASK) ^ d ^ key_b,
            left & MASK,
        )
        key_a, key_b = (key_a + WEYL_A) & MASK, (key_b + WEYL_B) & MASK
    return a, b, c, d


def _normals(seed: int, paths: Tensor, step: int, coords: Tensor) -> Tensor:
    """Standard normal numbers (B, d) by Box-Muller, with one Philox call per number."""
    a, b, c, d = philox_words(seed, paths, step, coords)
    u = (((a << 21) | (b >> 11)).to(torch.float64) + 1.0) * 2.0**-53  # in (0, 1]
    v = ((c << 21) | (d >> 11)).to(torch.float64) * 2.0**-53  # in [0, 1)
    quarter = torch.round(4.0 * v)
    angle = (v - 0.25 * quarter) * (2.0 * math.pi)  # the difference is exact
    turned = torch.where(quarter % 2 == 1, torch.sin(angle), torch.cos(angle))
    turned = torch.where((quarter == 1) | (quarter == 2), -turned, turned)
    return torch.sqrt(-2.0 * torch.log(u)) * turned


def normals(
    seed: int,
    paths: Tensor,
    step: int,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """N(0, 1) numbers of some paths at one step, shape (B, *shape), on the paths' device.

    Args:
        seed: Whole number in [0, 2**32).
        paths: Path numbers, shape (B,), int64, at least 0, in any order.
        step: 0 for the initial noise, r + 1 for row r.
        shape: Shape of a sample. Coordinates are numbered with the last index fastest.
        dtype: Dtype of the result, rounded from float64.
    """
    check_seed(seed)
    whole("step", step, 0, 2**32)
    d = math.prod(shape)
    out = torch.empty((paths.numel(), d), dtype=dtype, device=paths.device)
    rows, columns = max(1, MOST_AT_ONCE // d), min(d, MOST_AT_ONCE)
    for i in range(0, paths.numel(), rows):
        for j in range(0, d, columns):
            coords = torch.arange(j, min(j + columns, d), device=paths.device)
            out[i : i + rows, j : j + columns] = _normals(seed, paths[i : i + rows], step, coords)
    return out.reshape(-1, *shape)
