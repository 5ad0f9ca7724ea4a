"""The torch noise against the compiled kernels and the published answers of Philox4x32-10."""

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from benchmarks.networks.noise import (
    normals,
    philox_words,
)
from toys import (
    kernels,
    mixture,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


@pytest.mark.parametrize(("path", "step", "seed"), [(0, 0, 0), (2**40 + 3, 7, 5), (9, 2**31, 11)])
def test_words_are_the_kernels_bit_for_bit(device: str, path: int, step: int, seed: int) -> None:
    n, coords = 300, torch.tensor([0, 1, 12_287, 2**32 - 1], device=device)
    paths = torch.arange(path, path + n, device=device)
    a, b, c, d = (w.cpu().numpy() for w in philox_words(seed, paths, step, coords))
    for j, coord in enumerate(coords.tolist()):
        high, low = np.empty(n, np.uint64), np.empty(n, np.uint64)
        kernels.philox(coord, step, path, seed, 0, high, low)
        np.testing.assert_array_equal((a[:, j] << 32 | b[:, j]).view(np.uint64), high)
        np.testing.assert_array_equal((c[:, j] << 32 | d[:, j]).view(np.uint64), low)


def test_words_are_the_published_answer(device: str) -> None:
    """The all-zero vector among the known answers published with the generator."""
    words = philox_words(
        0,
        torch.zeros(1, dtype=torch.int64, device=device),
        0,
        torch.zeros(1, dtype=torch.int64, device=device),
    )
    assert [int(w) for w in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_normals_are_the_kernels_to_1e_14(device: str) -> None:
    n, d, path = 4000, 3, 2**33
    ours = normals(17, torch.arange(path, path + n, device=device), 4, (d,)).cpu().numpy()
    np.testing.assert_allclose(ours, mixture.normals(n, d, 17, path, 4), rtol=0, atol=1e-14)


def test_a_sample_has_its_noise_wherever_it_stands() -> None:
    paths = torch.tensor([5, 2**34, 0, 77])
    whole = normals(3, paths, 2, (2, 4, 4))
    for i in range(4):
        assert torch.equal(normals(3, paths[i : i + 1], 2, (2, 4, 4))[0], whole[i])
    assert torch.equal(normals(3, paths, 2, (32,)).reshape(whole.shape), whole)
    assert torch.equal(normals(3, paths, 2, (32,), torch.float32), whole.reshape(4, 32).float())


def test_pieces_of_a_large_sample_do_not_show(monkeypatch) -> None:
    paths = torch.arange(6)
    whole = normals(1, paths, 1, (50,))
    monkeypatch.setattr("benchmarks.networks.noise.MOST_AT_ONCE", 7)
    assert torch.equal(normals(1, paths, 1, (50,)), whole)


def test_normals_are_normal() -> None:
    """Kolmogorov-Smirnov, false alarm once in a thousand."""
    z = normals(8, torch.arange(20_000), 1, (5,)).flatten().numpy()
    assert stats.kstest(z, "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("seed", "step", "message"),
    [(-1, 0, "seed must be a whole number"), (2**32, 0, "seed must be"), (0, -1, "step must be")],
)
def test_bad_counters_are_one_clear_line(seed: int, step: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normals(seed, torch.arange(2), step, (1,))
