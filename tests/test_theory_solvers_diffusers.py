"""Solver tables against the schedulers of the library diffusers, state by state.

Both sides start from the same noise, walk the same uneven levels and draw the same normals: ours
by `trace_paths` of the production table, theirs by the scheduler's `step`, given the exact denoiser
of a mixture. The network of a scheduler is asked at alpha x, alpha = 1 / sqrt(1 + sigma^2),
whatever its own state is: alpha x again (DPM-Solver, UniPC, DEIS, DDIM) or x (the others).

`set_timesteps` keeps levels in float32; they are replaced by ours in float64. After that all is
float64, but three classes cast the state to float32 at every step ("upcast to avoid precision
issues"), which costs up to 1.9e-6 of sqrt(1 + sigma^2) here; see FLOAT32.
"""

import sys
from dataclasses import dataclass, field
from itertools import count
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from theory.solvers import multistep
from theory.solvers.registry import make_table
from toys.mixture import Mixture, normals
from toys.sampling import trace_paths

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
diffusers = pytest.importorskip("diffusers", reason=WHY)

pytestmark = [
    # torch 2.13 gives NumPy a tensor by the protocols of NumPy 1: set_timesteps' np.array(tensor)
    # and DEIS's np.log(tensor). Nothing here can change either.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
    # The one class that has DPM-Solver-2 under its name; "dpmsolver++" is another method.
    pytest.mark.filterwarnings("ignore:.*algorithm_type `dpmsolver` is deprecated:FutureWarning"),
]

TOY = Mixture(
    [0.5, 0.2, 0.3], [[-1.0, 0.3], [0.4, -0.8], [1.2, 0.9]], [[0.3, 0.3], [0.1, 0.4], [0.05, 0.05]]
)
N, SEED = 24, 3
STEPS = [1, 2, 4, 9, 14, 15, 20]  # on both sides of FEW_STEPS

# Their state is x; that of the others is alpha x.
UNSCALED = {f"{kind}Discrete" for kind in ("Euler", "EulerAncestral", "Heun", "KDPM2", "LMS")}
# prediction_type "sample" is not implemented there.
ONLY_EPSILON = {"EulerAncestralDiscrete", "KDPM2Discrete"}
# `sample.to(torch.float32)` in `step`; DPMSolverMultistep casts the noise too.
FLOAT32 = {"EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep"}
SINGLE, DOUBLE = 5e-6, 1e-12  # 1.9e-6 and 3e-13 were seen


@dataclass(frozen=True)
class Case:
    """A solver of ours and a scheduler class of theirs, with the options of each.

    Attributes:
        solver: Name in `SOLVERS`.
        scheduler: Name of the class, less its last word, "Scheduler".
        ours: Options of the solver.
        theirs: Options of the class.
        step: Options of its `step`.
        to_zero: Whether it can step to sigma = 0.
    """

    solver: str
    scheduler: str
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    step: dict[str, Any] = field(default_factory=dict)
    to_zero: bool = True


SDE = {"algorithm_type": "sde-dpmsolver++"}
CASES = {
    "ddim, Euler": Case("ddim", "EulerDiscrete"),
    "ddim": Case("ddim", "DDIM"),
    "stochastic_ddim": Case("stochastic_ddim", "DDIM", {"eta": 0.5}, step={"eta": 0.5}),
    "euler_ancestral": Case("euler_ancestral", "EulerAncestralDiscrete"),
    "heun": Case("heun", "HeunDiscrete"),
    "heun, last step plain": Case("heun", "HeunDiscrete", {"correct_last": False}),
    "dpm_solver_2, KDPM2": Case("dpm_solver_2", "KDPM2Discrete"),
    "dpm_solver_2": Case(
        "dpm_solver_2",
        "DPMSolverSinglestep",
        theirs={"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        to_zero=False,
    ),
    "dpmpp_2m": Case("dpmpp_2m", "DPMSolverMultistep"),
    "dpmpp_3m": Case("dpmpp_3m", "DPMSolverMultistep", theirs={"solver_order": 3}),
    "sde_dpmpp_2m": Case("sde_dpmpp_2m", "DPMSolverMultistep", theirs=SDE),
    "sde_dpmpp_2m, heun": Case(
        "sde_dpmpp_2m", "DPMSolverMultistep", {"variant": "heun"}, SDE | {"solver_type": "heun"}
    ),
    "ab_2": Case("ab_2", "LMSDiscrete", {"lower_order_final": False}, {}, {"order": 2}, False),
}
for p in (1, 2, 3):
    CASES[f"deis_{p}"] = Case(f"deis_{p}", "DEISMultistep", {}, {"solver_order": p}, {}, False)
    for bh in ("bh1", "bh2"):
        options = {"solver_order": p, "solver_type": bh}
        CASES[f"unipc_{p}, {bh}"] = Case(
            f"unipc_{p}", "UniPCMultistep", {"variant": bh}, options, to_zero=bh == "bh2"
        )


def uneven_levels(n_steps: int, end: float = 0.05) -> np.ndarray:
    """Levels from 20 to 0.05, steps in log sigma uneven up to a factor 3; then the end's own."""
    h = np.random.default_rng(n_steps).uniform(0.5, 1.5, n_steps)
    sigmas = 20.0 * np.exp(-np.log(400.0) * np.append(0.0, np.cumsum(h) / h.sum()))
    sigmas[-1] = end
    return sigmas


def module_of(case: Case) -> ModuleType:
    return sys.modules[getattr(diffusers, f"{case.scheduler}Scheduler").__module__]


def build(case: Case, sigmas: np.ndarray, calls: int, **options: Any) -> Any:
    """Their scheduler, with its levels replaced by ours in float64."""
    n_steps, kind = len(sigmas) - 1, case.scheduler
    known: dict[str, Any] = {"num_train_timesteps": calls}  # DDIM steps by num_train // calls
    known["prediction_type"] = "epsilon" if kind in ONLY_EPSILON else "sample"
    if kind == "UniPCMultistep":  # to 0 it can take a step of order 1 only; see the tests of both
        known["lower_order_final"] = n_steps < multistep.FEW_STEPS or sigmas[-1] == 0
    if kind == "DPMSolverMultistep":
        known["final_sigmas_type"] = "zero" if sigmas[-1] == 0 else "sigma_min"
    if kind == "DDIM":
        known["clip_sample"] = False
    made = getattr(diffusers, f"{kind}Scheduler")(**known | case.theirs | options)
    made.set_timesteps(calls)
    levels = torch.from_numpy(sigmas)
    if kind == "DDIM":
        made.timesteps = torch.arange(calls).flip(0)
        products = 1.0 / (1.0 + levels**2)
        made.alphas_cumprod, made.final_alpha_cumprod = products[:-1].flip(0), products[-1]
        return made
    made.timesteps = torch.arange(calls, dtype=torch.float64).flip(0)  # Euler refuses int
    made.set_begin_index(0)  # counts its steps from there, and looks nothing up in timesteps
    made.sigmas = levels
    if kind in ("HeunDiscrete", "KDPM2Discrete"):  # each level stands for two calls
        made.sigmas = levels.repeat_interleave(2)[1:]
        middle = levels.log().lerp(levels.roll(1).log(), 0.5).exp()
        made.sigmas_interpol = middle.repeat_interleave(2)[1:]
    if kind == "DPMSolverSinglestep":  # the inner stage is a level of its own
        middle = (levels[:-1] * levels[1:]).sqrt()
        made.sigmas = torch.cat([torch.stack([levels[:-1], middle], dim=1).flatten(), levels[-1:]])
    return made


def our_states(case: Case, sigmas: np.ndarray, **options: Any) -> np.ndarray:
    """States at every call and at the end, shape (calls + 1, N, 2)."""
    return trace_paths(TOY, make_table(case.solver, sigmas, **case.ours | options), N, SEED)


def called_levels(case: Case, sigmas: np.ndarray) -> np.ndarray:
    return make_table(case.solver, sigmas, **case.ours).sigma


def their_states(case: Case, sigmas: np.ndarray, **options: Any) -> np.ndarray:
    """The states of their scheduler, called as a pipeline calls it."""
    called, rows = called_levels(case, sigmas), count(1)
    scheduler = build(case, sigmas, called.size, **options)
    unit = np.sqrt(1.0 + np.append(called, sigmas[-1]) ** 2)  # 1 / alpha
    scale = np.ones_like(unit) if case.scheduler in UNSCALED else unit
    state = torch.from_numpy(sigmas[0] * normals(N, 2, SEED, 0, 0) / scale[0])

    def randn(shape: Any, dtype: Any, **_: Any) -> Any:  # drawn once per call
        return torch.from_numpy(normals(N, 2, SEED, 0, next(rows))).to(dtype)

    out = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_of(case), "randn_tensor", randn, raising=False)
        for sigma, one, t in zip(called, unit[:-1], scheduler.timesteps, strict=True):
            # They scale by their own sigma of this call: another than ours would show in x.
            x = one * scheduler.scale_model_input(state, t).numpy()
            answer = TOY.denoise(x, sigma)
            if case.scheduler in ONLY_EPSILON:
                answer = (x - answer) / sigma
            state = scheduler.step(torch.from_numpy(answer), t, state, **case.step).prev_sample
            out.append(x)
    return np.stack([*out, scale[-1] * state.numpy()])


def gaps(case: Case, sigmas: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Largest difference of each state, shape (calls + 1,), in units of sqrt(1 + sigma^2)."""
    levels = np.append(called_levels(case, sigmas), sigmas[-1])
    return np.abs(ours - theirs).max(axis=(1, 2)) / np.sqrt(1.0 + levels**2)


def tolerance(case: Case) -> float:
    return SINGLE if case.scheduler in FLOAT32 else DOUBLE


RUNS = [
    (name, end, n_steps)
    for name, case in CASES.items()
    for end in ((0.05, 0.0) if case.to_zero else (0.05,))
    for n_steps in STEPS
    # There it lowers the last two steps on its way to 0; see the tests of that rule.
    if not (name == "unipc_3, bh2" and end == 0.0 and n_steps >= multistep.FEW_STEPS)
]


@pytest.mark.parametrize(("name", "end", "n_steps"), RUNS)
def test_every_state_is_their_schedulers_state(name: str, end: float, n_steps: int) -> None:
    """To a last level of 0.05 and to 0, by fewer than 15 steps and by more.

    No method differs, once UniPC is told to lower its last steps where ours does; what their
    classes cannot do, or do otherwise by default, is in the tests below.
    """
    case, sigmas = CASES[name], uneven_levels(n_steps, end)
    off = gaps(case, sigmas, our_states(case, sigmas), their_states(case, sigmas))
    assert np.all(off <= tolerance(case)), off


class DoubleTorch:
    """torch, with float64 instead of float32."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.mark.parametrize("n_steps", [4, 20])
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.scheduler in FLOAT32])
def test_nothing_but_float32_is_between_them(
    name: str, n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DPMSolverMultistep, Euler and EulerAncestral cast their state to float32 at every step."""
    case, sigmas = CASES[name], uneven_levels(n_steps)
    ours = our_states(case, sigmas)
    assert gaps(case, sigmas, ours, their_states(case, sigmas)).max() > 1e-9
    monkeypatch.setattr(module_of(case), "torch", DoubleTorch())
    off = gaps(case, sigmas, ours, their_states(case, sigmas))
    assert np.all(off <= DOUBLE), off


@pytest.mark.parametrize("end", [0.05, 0.0])
@pytest.mark.parametrize("order", [2, 3])
def test_their_unipc_lowers_the_last_steps_of_any_number(
    order: int, end: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default UniPCMultistep takes order min(p, steps left), ours below 15 steps only.

    So of 20 steps the last p - 1 are others and those before the same, but a step to 0 is the
    denoised value in both; with our 15 raised to 21 all steps are the same.
    """
    case, sigmas = CASES[f"unipc_{order}, bh2"], uneven_levels(20, end)
    theirs = their_states(case, sigmas, lower_order_final=True)
    off = gaps(case, sigmas, our_states(case, sigmas), theirs)
    first = 20 - order + 2  # the state after the first step of another order
    assert np.all(off[:first] <= DOUBLE)
    assert np.all((off[first:] > 1e-4) == (end > 0 or order == 3)), off
    monkeypatch.setattr(multistep, "FEW_STEPS", 21)
    off = gaps(case, sigmas, our_states(case, sigmas), theirs)
    assert np.all(off <= DOUBLE), off


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith(("dpmpp", "unipc", "deis"))])
def test_lower_order_final_may_be_switched_off_in_both(name: str) -> None:
    case, sigmas = CASES[name], uneven_levels(9)
    ours = our_states(case, sigmas, lower_order_final=False)
    off = gaps(case, sigmas, ours, their_states(case, sigmas, lower_order_final=False))
    assert np.all(off <= tolerance(case)), off


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("deis") or "bh1" in n])
def test_a_step_to_zero_is_no_number_there_and_its_limit_is_ours(name: str) -> None:
    """At 0 DEIS has sigma_b (e^h - 1) = 0 inf and UniPC's bh1 B(h) = inf times no differences.

    DEIS's own levels stop above 0; those of UniPC do not by default, so that its bh1 ends in NaN.
    The limit of their last step, of order 1 here, is our row.
    """
    case, sigmas = CASES[name], uneven_levels(9, 0.0)
    ours, theirs = our_states(case, sigmas), their_states(case, sigmas)
    assert np.all(gaps(case, sigmas, ours, theirs)[:-1] <= DOUBLE)
    assert np.isnan(theirs[-1]).all()
    near = their_states(case, uneven_levels(9, 1e-12))
    assert np.all(gaps(case, sigmas, ours, near) <= 1e-10)


def test_their_unipc_reaches_zero_by_a_step_of_order_one_only() -> None:
    """With `lower_order_final` off UniPC divides by r = h_prev / inf = 0; our last row is D always.

    At order 2 the end is no number, at order 3 the equations for the weights are singular.
    """
    case, sigmas = CASES["unipc_2, bh2"], uneven_levels(20, 0.0)
    theirs = their_states(case, sigmas, lower_order_final=False)
    assert np.all(gaps(case, sigmas, our_states(case, sigmas), theirs)[:-1] <= DOUBLE)
    assert not np.isfinite(theirs[-1]).any()
    with pytest.raises(RuntimeError, match="singular"):
        their_states(CASES["unipc_3, bh2"], sigmas, lower_order_final=False)


def test_their_third_order_step_is_the_published_one() -> None:
    """DPMSolverMultistep takes half the second derivative, as the authors; `corrected` all of it.

    Their first step through three calls is the corrected one less p3 C, in the terms of
    `dpmpp_3m_table`.
    """
    case, sigmas = CASES["dpmpp_3m"], uneven_levels(20)
    ours, theirs = our_states(case, sigmas, corrected=True), their_states(case, sigmas)
    d2, d1, d = (TOY.denoise(x, s) for x, s in zip(ours[:3], sigmas[:3], strict=True))
    h1, h0, h = np.log(sigmas[:3] / sigmas[1:4])
    p3 = 0.5 - (1.0 + np.expm1(-h) / h) / h
    ours[3] -= p3 * h**2 * ((d - d1) / h0 - (d1 - d2) / h1) / (h0 + h1)
    off = gaps(case, sigmas, ours, theirs)
    assert np.all(off[:4] <= SINGLE)
    assert off.max() > 1e-3


@pytest.mark.parametrize("name", ["heun", "dpm_solver_2, KDPM2"])
def test_their_two_call_classes_have_one_call_for_the_last_step(name: str) -> None:
    """HeunDiscrete and KDPM2Discrete always end at 0, so the last step has no second call.

    Above 0, `build` gives the last level twice, which makes it; Heun without it is ours with
    correct_last=False.
    """
    case, sigmas = CASES[name], uneven_levels(9, 0.0)
    scheduler = build(case, sigmas, 17)
    scheduler.set_timesteps(9)  # their own levels
    assert scheduler.timesteps.numel() == called_levels(case, sigmas).size == 17
    assert scheduler.sigmas[-1] == 0


def test_their_adams_bashforth_extrapolates_into_zero() -> None:
    """LMSDiscrete makes the step to 0 with two points too, ours returns the denoised value."""
    case, sigmas = CASES["ab_2"], uneven_levels(9, 0.0)
    ours, theirs = our_states(case, sigmas), their_states(case, sigmas)
    before, a = sigmas[-3:-1]
    slopes = [(ours[r] - TOY.denoise(ours[r], sigmas[r])) / sigmas[r] for r in (7, 8)]
    ours[-1] += a**2 / (2.0 * (a - before)) * (slopes[1] - slopes[0])
    off = gaps(case, sigmas, ours, theirs)
    assert np.all(off <= DOUBLE), off
