"""Every solver against a plain loop of its paper's formula, its cost, and names for one method."""

from pathlib import Path

import numpy as np
import oracles
import pytest
from oracle_solvers import ORACLES, Walk
from strategies import random_mixture

from theory.solvers.reducing import ReducingIteration
from theory.solvers.registry import SOLVERS, make_table, shape_table, solver_options
from theory.solvers.table import SolverTable
from toys import sampling
from toys.mixture import Mixture, normals

LEVELS = {
    "uneven": [80.0, 31.0, 9.0, 2.2, 0.7, 0.11, 0.1],
    "one step": [3.0, 0.4],
    "two steps": [5.0, 1.3, 0.2],
    "three steps": [5.0, 1.3, 0.2, 0.1],
    "many": list(np.geomspace(60.0, 0.02, 24) * np.linspace(1.0, 0.9, 24)),
}
SCHEDULES = {
    f"{name}, {end}": np.array([*levels, 0.0] if end == "zero" else levels)
    for name, levels in LEVELS.items()
    for end in ("stop", "zero")
} | {"only zero": np.array([4.0, 0.0])}
VARIANTS = [(name, {}) for name in SOLVERS] + [
    ("stochastic_ddim", {"eta": 0.4}),
    ("stochastic_ddim", {"eta": 0.4, "call": "matched"}),
    ("ddim", {"call": 0.5}),
    ("ddim", {"call": "matched"}),
    ("ddim", {"call": "log_mean"}),
    ("analytic_ddpm", {"eta": 0.3}),
    ("heun", {"correct_last": False}),
    ("edm_stochastic", {"s_churn": 8.0, "s_min": 0.3, "s_max": 10.0, "s_noise": 1.0}),
    ("edm_stochastic", {"s_max": 100.0, "correct_last": False}),
    *[
        ("fd_2", {"form": form, "stage": stage})
        for form in ("noise", "data")
        for stage in ("sqrt", "interval")
    ],
    *[
        ("re_single", {"form": form, "stage": stage, "mix": mix})
        for form, stage, mix in [
            ("noise", "interval", "upper"),
            ("data", "sqrt", "lower"),
            ("data", "interval", "minimum"),
            ("noise", "sqrt", 0.3),
        ]
    ],
    ("re_single", {"compensated": True}),
    ("re_single", {"compensated": True, "form": "data", "mix": "upper"}),
    ("dpmpp_2m", {"lower_order_final": False}),
    ("dpmpp_3m", {"lower_order_final": False, "corrected": True}),
    ("dpmpp_3m", {"corrected": True}),
    ("sde_dpmpp_2m", {"variant": "heun"}),
    ("sde_dpmpp_2m", {"lower_order_final": False}),
    *[
        (f"unipc_{p}", {"variant": variant, "lower_order_final": lower})
        for p in (1, 2, 3)
        for variant, lower in (("bh1", True), ("bh2", False))
    ],
    *[(f"deis_{p}", {"time": time}) for p in (2, 3) for time in ("edm", "vp")],
    ("deis_3", {"lower_order_final": False}),
    ("ab_2", {"lower_order_final": False}),
    *[("re_multi", {"prior": prior, "mu": 0.2}) for prior in ("printed", "minimiser")],
    ("re_multi_2025", {"prior": "printed"}),
    ("re_multi", {"channels": 2}),
    ("evodiff", {"special_last": False, "mu": 0.7}),
    ("evodiff", {"channels": 2}),
]
NAMES = [f"{name} {options}" if options else name for name, options in VARIANTS]
SMOOTH = random_mixture(3, d=2, kind="density", k_max=5)
SMOOTH = Mixture(SMOOTH.weights, SMOOTH.means, np.maximum(SMOOTH.stds, 0.05))
POINTS = random_mixture(4, d=2, kind="points")


def walked(
    name: str, options: dict, toy: Mixture, sigmas: np.ndarray, n: int = 40
) -> tuple[SolverTable | ReducingIteration, Walk, np.ndarray]:
    """The solver, the oracle's walk from the solver's own start and normals, and its end."""
    table = shape_table(name, sigmas, **options)
    start = sampling.start_states(toy, table, n, seed=7)
    z = np.stack([normals(n, toy.dim, 7, 0, r + 1) for r in range(table.nfe)])
    mixture = (toy.weights, toy.means, toy.stds)
    walk = Walk(lambda x, sigma: oracles.denoise(x, sigma, *mixture), start, z)
    return table, walk, ORACLES[name](walk, sigmas, **options)


@pytest.mark.parametrize("levels", SCHEDULES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_the_walk_is_the_papers_loop(name: str, options: dict, levels: str) -> None:
    """The compiled walk against the paper's formula, std >= 0.05: 1e-12 of the largest state."""
    table, walk, want = walked(name, options, SMOOTH, SCHEDULES[levels])
    found = sampling.walk_states(SMOOTH, table, walk.x, seed=7)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("levels", SCHEDULES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_calls_are_counted_and_placed_as_declared(name: str, options: dict, levels: str) -> None:
    """NFE and the levels of the calls, counted by the denoiser itself."""
    table, walk, _ = walked(name, options, SMOOTH, SCHEDULES[levels], n=2)
    assert table.nfe == len(walk.points)
    np.testing.assert_allclose(table.sigma, [sigma for _, sigma, _ in walk.points], rtol=1e-14)
    assert table.n_steps == SCHEDULES[levels].size - 1


@pytest.mark.parametrize("levels", SCHEDULES)
@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, o in VARIANTS if n not in ("re_multi", "re_multi_2025",
                                                                   "evodiff")],
)  # fmt: skip
def test_rows_on_points_take_the_papers_step_from_the_same_input(
    name: str, options: dict, levels: str
) -> None:
    """On points one ulp may grow to 1e-10, so each row starts from the oracle's own history."""
    table, walk, end = walked(name, options, POINTS, SCHEDULES[levels])
    states = [x for x, _, _ in walk.points] + [end]
    outputs = [d for _, _, d in walk.points]
    for r in range(table.nfe):
        row = table.noise[r] * walk.z[r]
        size = np.abs(row) + 1.0
        for h in range(min(r + 1, table.weights.shape[1])):
            row = row + table.weights[r, h] * outputs[r - h]
            size += np.abs(outputs[r - h])
        for h in range(min(r + 1, table.keep.shape[1])):
            row = row + table.keep[r, h] * states[r - h]
            size += np.abs(table.keep[r, h] * states[r - h])
        assert np.all(np.abs(row - states[r + 1]) <= 1e-12 * size)


@pytest.mark.parametrize("levels", ["uneven, zero", "many, stop"])
@pytest.mark.parametrize("name", ["re_multi", "re_multi_2025", "evodiff"])
def test_iterations_on_points_stay_on_the_papers_path(name: str, levels: str) -> None:
    """No rows to compare, and one ulp grows: nine paths in ten agree to 1e-8."""
    table, walk, want = walked(name, {}, POINTS, SCHEDULES[levels], n=400)
    gap = np.abs(sampling.walk_states(POINTS, table, walk.x, seed=7) - want).max(axis=1)
    assert np.quantile(gap, 0.9) < 1e-8


@pytest.mark.parametrize("name", [n for n in SOLVERS if n not in ("re_multi", "re_multi_2025",
                                                                  "evodiff")])  # fmt: skip
def test_the_row_that_reaches_zero_returns_the_denoised_value(name: str) -> None:
    for sigmas in ([5.0, 1.0, 0.0], [5.0, 2.0, 1.0, 0.0], [1e-8, 0.0], [1e8, 0.0]):
        table = shape_table(name, sigmas)
        assert not table.keep[-1].any()
        assert table.weights[-1, 0] == 1.0
        assert not table.weights[-1, 1:].any()
        assert table.noise[-1] == 0.0


@pytest.mark.parametrize("name", SOLVERS)
def test_a_constant_denoiser_is_followed_exactly(name: str) -> None:
    """If D is x0 for ever, every solver but EVODiff leaves x0 + a eps at x0 + b eps in law."""
    sigmas = np.array([7.0, 3.0, 2.5, 0.3])
    table = shape_table(name, sigmas)
    if isinstance(table, ReducingIteration):
        if name == "evodiff":
            return  # it multiplies the state by 1 - sqrt(a b) in the last step
        end = sampling.walk_states(Mixture([1], [2.0], 0), table, np.array([[2.0 + 7.0]]), 0)
        assert end[0, 0] == pytest.approx(2.3, rel=1e-14)
        return
    ones = table.keep.sum(axis=1) + table.weights.sum(axis=1)
    np.testing.assert_allclose(ones, 1.0, rtol=1e-13)  # x = D = 1 stays
    if not table.noise.any():
        end = sampling.walk_states(Mixture([1], [2.0], 0), table, np.array([[2.0 + 7.0]]), 0)
        assert end[0, 0] == pytest.approx(2.3, rel=1e-13)


@pytest.mark.parametrize("n_steps", [3, 14, 15, 40])
def test_names_that_are_one_method(n_steps: int) -> None:
    """Each left-hand table equals the right-hand one, entry by entry."""
    sigmas = np.geomspace(80.0, 0.01, n_steps + 1) * np.linspace(1, 0.8, n_steps + 1)
    one_method = [
        (("euler_ancestral", {"eta": 0.6}), ("stochastic_ddim", {"eta": 0.6})),
        (("deis_1", {}), ("ddim", {})),
        (("deis_1", {"time": "vp"}), ("ddim", {})),
        (("deis_2", {"time": "edm"}), ("ab_2", {})),
        (("stochastic_ddim", {"eta": 0.0}), ("ddim", {})),
        (("edm_stochastic", {"s_churn": 0.0}), ("heun", {})),
        (("re_single", {"compensated": True}), ("fd_2", {})),
        (("re_single", {"compensated": True, "form": "data"}), ("fd_2", {"form": "data"})),
        # At the geometric middle proposition 3.4's two forms of (3.7) are one.
        (("fd_2", {"form": "data"}), ("fd_2", {"form": "noise"})),
    ]
    for (name, options), (other, others) in one_method:
        left, right = make_table(name, sigmas, **options), make_table(other, sigmas, **others)
        for field in ("sigma", "noise"):
            np.testing.assert_allclose(getattr(left, field), getattr(right, field), atol=1e-15)
        for field in ("keep", "weights"):
            a, b = getattr(left, field), getattr(right, field)
            wide = max(a.shape[1], b.shape[1])
            a, b = (np.pad(v, ((0, 0), (0, wide - v.shape[1]))) for v in (a, b))
            np.testing.assert_allclose(a, b, rtol=2e-14, atol=1e-14)


def test_three_points_are_exact_for_outputs_quadratic_in_log_sigma() -> None:
    """A step of int e^l D(l) dl over l = -log sigma, by quadrature."""
    sigmas = np.array([9.0, 5.0, 2.0, 0.9])
    lam = -np.log(sigmas)
    outputs = 0.3 + 0.2 * lam + 0.07 * lam**2
    u, w = np.polynomial.legendre.leggauss(40)
    at = 0.5 * (lam[2] + lam[3]) + 0.5 * (lam[3] - lam[2]) * u
    integral = 0.5 * (lam[3] - lam[2]) * w @ (np.exp(at) * (0.3 + 0.2 * at + 0.07 * at**2))
    row = make_table("dpmpp_3m", sigmas, corrected=True, lower_order_final=False).weights[2]
    assert row @ outputs[2::-1] == pytest.approx(sigmas[3] * integral, rel=1e-13)
    published = make_table("dpmpp_3m", sigmas, lower_order_final=False).weights[2]
    assert published @ outputs[2::-1] != pytest.approx(sigmas[3] * integral, rel=1e-3)


def test_options_are_listed_with_their_defaults() -> None:
    assert solver_options("ddim") == {"call": "state"}
    assert solver_options("ab_2") == {"lower_order_final": True}
    assert solver_options("edm_stochastic")["s_noise"] == 1.003
    assert solver_options("evodiff") == {"mu": 0.5, "channels": 1, "special_last": True}


@pytest.mark.parametrize("name", SOLVERS)
def test_tables_of_many_steps_keep_their_digits(name: str) -> None:
    """On an even grid rows repeat; 10^5 steps of 1e-4 must not lose them to cancellation."""
    table = shape_table(name, np.geomspace(80.0, 0.002, 10**5 + 1))
    if isinstance(table, SolverTable):
        np.testing.assert_allclose(table.weights.sum(axis=1) + table.keep.sum(axis=1), 1.0)
        np.testing.assert_allclose(table.weights[-4], table.weights[-6], rtol=1e-6)


def test_the_docs_list_every_solver_with_its_order_and_options() -> None:
    text = (Path(__file__).parents[1] / "docs" / "schedules-and-solvers.md").read_text(
        encoding="utf-8"
    )
    listed = {}
    for line in text[text.index("## Solvers") :].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[0].startswith("`"):
            names = [name.strip(" `") for name in cells[0].split(",")]
            declared = cells[1].partition(";")[0].replace("weak", "")  # and not that on Gaussians
            orders = [int(part) for part in declared.split(",") if part.strip()]
            options = dict(part.split("=") for part in cells[4].strip("`").split())
            for name, order in zip(names, orders * len(names) if len(orders) == 1 else orders,
                                   strict=False):  # fmt: skip
                listed[name] = (order, options)
    assert list(listed) == list(dict.fromkeys(listed))
    assert set(listed) == set(SOLVERS)
    for name, (order, options) in listed.items():
        assert shape_table(name, [3.0, 2.0, 1.0]).order == order
        assert options == {key: str(value) for key, value in solver_options(name).items()}
