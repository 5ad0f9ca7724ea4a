"""Monte Carlo through a table: the same bits however the work is split, and the right formula."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import oracles
import pytest
from strategies import churned_table, heun_table, random_mixture, random_sigmas

from theory.schedules.standard import log_snr_sigmas
from theory.solvers.ddim import stochastic_ddim_table
from toys import sampling, zoo
from toys.mixture import Mixture, normals

TOY = zoo.toy("gaussians15_narrow")
TABLE = stochastic_ddim_table(log_snr_sigmas(6, 80.0, 0.002))
N = 3000


def reference() -> np.ndarray:
    return sampling.sample(TOY, TABLE, N, seed=3, threads=1)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 77, 256, 1000, None])
def test_threads_and_batches_do_not_change_a_bit(threads: int, batch: int | None) -> None:
    if batch == 1:
        got = sampling.sample(TOY, TABLE, 40, seed=3, threads=threads, batch=1)
        np.testing.assert_array_equal(got, reference()[:40])
    else:
        got = sampling.sample(TOY, TABLE, N, seed=3, threads=threads, batch=batch)
        np.testing.assert_array_equal(got, reference())


@pytest.mark.parametrize("cuts", [(400,), (1, 2, 3), (255, 256, 257, 2999)])
def test_paths_can_be_split_in_any_way(cuts: tuple[int, ...]) -> None:
    ends = [0, *cuts, N]
    parts = [sampling.sample(TOY, TABLE, b - a, seed=3, path=a) for a, b in pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(parts), reference())


def test_a_fresh_process_gives_the_same_bits() -> None:
    code = (
        "import hashlib; from toys import sampling, zoo; "
        "from theory.schedules.standard import log_snr_sigmas as s; "
        "from theory.solvers.ddim import stochastic_ddim_table as t; "
        "x = sampling.sample(zoo.toy('gaussians15_narrow'), t(s(6, 80.0, 0.002)), 3000, seed=3); "
        "print(hashlib.sha256(x.tobytes()).hexdigest())"
    )
    import hashlib

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == hashlib.sha256(reference().tobytes()).hexdigest()


def test_d_dimensional_paths_do_not_depend_on_the_split_either() -> None:
    toy = random_mixture(5, d=3)
    whole = sampling.sample(toy, TABLE, 1000, seed=1, start="data", threads=1)
    parts = [sampling.sample(toy, TABLE, 500, 1, p, "data", batch=33) for p in (0, 500)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_repeats_use_other_paths_and_other_seeds_other_noise() -> None:
    one = reference()[:, 0]
    other_seed = sampling.sample(TOY, TABLE, N, seed=4)[:, 0]
    other_path = sampling.sample(TOY, TABLE, N, seed=3, path=N)[:, 0]
    for other in (other_seed, other_path):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(N)


TABLES = {
    "ddim_noise": lambda s: stochastic_ddim_table(s, eta=0.7),
    "heun": heun_table,
    "churn": churned_table,
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("n_steps", [1, 2, 5])
@pytest.mark.parametrize("zero", [False, True])
def test_the_kernel_walks_what_the_plain_loop_walks(
    name: str, d: int, n_steps: int, zero: bool
) -> None:
    toy = random_mixture(17, d=d, kind="density")
    toy = Mixture(toy.weights, toy.means, np.maximum(toy.stds, 0.05))
    table = TABLES[name](random_sigmas(n_steps, n_steps, zero=zero))
    x0 = sampling.start_states(toy, table, 300, seed=2)
    z = np.stack([normals(300, d, 2, 0, r + 1) for r in range(table.nfe)])
    rows = (table.sigma, table.keep, table.weights, table.noise)
    shape = (300,) if d == 1 else (300, d)
    means, stds = (toy.means[:, 0], toy.stds[:, 0]) if d == 1 else (toy.means, toy.stds)
    mixture = (toy.weights, means, stds)
    want = oracles.walk_table(rows, mixture, x0.reshape(shape), z.reshape(table.nfe, *shape))
    got = sampling.trace_paths(toy, table, 300, seed=2)
    np.testing.assert_array_equal(got[0], x0)
    assert len(want) == len(got) == table.nfe + 1
    for mine, theirs in zip(got, want, strict=True):
        scale = max(float(np.abs(theirs).max()), 1.0)
        np.testing.assert_allclose(mine.reshape(shape), theirs, rtol=1e-12, atol=1e-12 * scale)


def test_every_row_calls_the_denoiser_once() -> None:
    assert TABLE.nfe == 6
    trace = sampling.trace_paths(TOY, TABLE, 5, seed=0)
    assert trace.shape == (7, 5, 1)
    np.testing.assert_array_equal(trace[-1], sampling.sample(TOY, TABLE, 5, seed=0))


def test_data_starts_have_the_law_at_the_highest_level() -> None:
    x = sampling.start_states(TOY, TABLE, 100_000, seed=0, start="data")[:, 0]
    std = np.hypot(1.0, 80.0)
    assert abs(x.mean()) < 4 * std / np.sqrt(x.size)
    assert abs(x.std() - std) < 4 * std / np.sqrt(2 * x.size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "n must be a whole number at least 1, got 0"),
        ({"path": -1}, "path must be a whole number at least 0, got -1"),
        ({"seed": 1.5}, "seed must be a whole number in [0, 2**32), got 1.5"),
        ({"start": "nose"}, "start must be 'noise' or 'data', got 'nose'"),
        ({"batch": 0}, "batch must be a whole number at least 1, got 0"),
    ],
)
def test_bad_options_are_named(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        sampling.sample(**{"toy": TOY, "table": TABLE, "n": 10, "seed": 0, **options})
    assert words in str(error.value)
