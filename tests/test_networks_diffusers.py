"""Denoisers of diffusers' models and schedulers, against the schedulers' own deterministic steps.

Tiny random models, float32. DDIM's step from level a to b is x' = b/a x + (1 - b/a) D(x, a) in
x = x0 + sigma eps. That is DDIMScheduler's step, eta = 0, for whatever is trained like DDPM, and
the first-order step of Euler, EDMEuler, FlowMatchEuler, DPM-Solver++ and UniPC themselves.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
diffusers = pytest.importorskip("diffusers", reason=WHY)

from benchmarks.networks.diffusers_folders import (
    MODELS,
    load_folder,
)
from benchmarks.networks.diffusers_models import (
    SchedulerDenoiser,
    denoiser_from,
)
from benchmarks.networks.diffusers_times import (
    SCHEDULERS,
    limit_of,
    training_of,
)
from theory.noise.ddpm import DDPM

pytestmark = [
    # torch 2.13 gives NumPy a tensor by the protocols of NumPy 1: set_timesteps' np.array(tensor),
    # which the tests alone call. Nothing here can change it.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]

# Rounding, in units of the state's size, sqrt(1 + b^2): both sides compute in float32, where the
# model's answer and a few sums are right to some 1e-7, and the error of eps at level a counts a
# times. The most seen was 2.6e-6, at a = 29.
ROUNDING = 1e-5
B, CLASSES, TOKENS, WIDTH = 2, 5, 3, 6


def seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def unet(**options: Any) -> Any:
    known = {
        "sample_size": 8,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "num_class_embeds": CLASSES,
    }
    return seeded(lambda: diffusers.UNet2DModel(**known | options))


def text_unet(**options: Any) -> Any:
    known = {
        "sample_size": 8,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
    }
    return seeded(lambda: diffusers.UNet2DConditionModel(**known | options))


def dit(**options: Any) -> Any:
    known = {
        "num_attention_heads": 2,
        "attention_head_dim": 4,
        "in_channels": 4,
        "out_channels": 8,  # 4 of a learned variance
        "num_layers": 2,
        "sample_size": 8,
        "num_embeds_ada_norm": CLASSES,
    }
    return seeded(lambda: diffusers.DiTTransformer2DModel(**known | options))


def plain(x: Any, time: Any) -> Any:
    """A bounded function of x that depends on the time."""
    phase = (0.7 * time.double()).sin().reshape(-1, 1, 1, 1).to(x)
    return torch.sin(1.5 * x + 2.0 * phase) + 0.2 * x


def vae(**options: Any) -> Any:
    known = {
        "block_out_channels": (4,),
        "norm_num_groups": 2,
        "sample_size": 8,
        "scaling_factor": 0.4,
        "shift_factor": 0.1,
    }
    return seeded(lambda: diffusers.AutoencoderKL(**known | options))


def labels(*values: int) -> dict[str, Any]:
    return {"class_labels": torch.tensor(values)}


def texts(seed: int, rows: int = B) -> dict[str, Any]:
    made = torch.Generator().manual_seed(seed)
    return {"encoder_hidden_states": torch.randn(rows, TOKENS, WIDTH, generator=made)}


def noise(channels: int, seed: int = 0) -> Any:
    return torch.randn(B, channels, 8, 8, generator=torch.Generator().manual_seed(seed))


def doubles(values: list[float]) -> Any:
    return torch.tensor(values, dtype=torch.float64)


def level(sigma: Any, rows: int = B) -> Any:
    return torch.full((rows,), float(sigma), dtype=torch.float64)


NETWORKS: dict[str, tuple[Callable[[], Any], int, dict[str, Any]]] = {
    "UNet2DModel": (unet, 3, labels(3, 0)),
    "UNet2DConditionModel": (text_unet, 4, texts(1)),
    "DiTTransformer2DModel": (dit, 4, labels(2, CLASSES)),
    "callable": (lambda: plain, 3, {}),
}
VP = ("DDPM", "DDIM", "EulerDiscrete", "DPMSolverMultistep", "UniPCMultistep")
TRAINED = {
    f"{name}, {target}": (f"{name}Scheduler", {"prediction_type": target})
    for name in VP
    for target in ("epsilon", "sample", "v_prediction")
}
TRAINED |= {
    f"{name}, {target}, flow": (
        f"{name}Scheduler",
        {"prediction_type": target, "use_flow_sigmas": True, "flow_shift": 3.0},
    )
    for name in ("DPMSolverMultistep", "UniPCMultistep")
    for target in ("flow_prediction", "epsilon", "sample")
}
TRAINED |= {
    "EulerDiscrete, continuous": (
        "EulerDiscreteScheduler",
        {"prediction_type": "v_prediction", "timestep_type": "continuous"},
    ),
    "EulerDiscrete, original_sample": (
        "EulerDiscreteScheduler",
        {"prediction_type": "original_sample"},
    ),
    "EDMEuler, epsilon": ("EDMEulerScheduler", {"prediction_type": "epsilon", "sigma_data": 0.7}),
    "EDMEuler, v": ("EDMEulerScheduler", {"prediction_type": "v_prediction"}),
    "FlowMatchEuler": ("FlowMatchEulerDiscreteScheduler", {}),
    "FlowMatchEuler, shift": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}
T = 100


def scheduler_of(name: str, **options: Any) -> Any:
    known: dict[str, Any] = {"num_train_timesteps": T}
    if name in ("DDPMScheduler", "DDIMScheduler"):
        known["clip_sample"] = False
    if name.removesuffix("Scheduler") in VP:
        known["beta_end"] = 0.2  # the usual range of sigma in a tenth of the steps
    if "Multistep" in name:
        known["solver_order"] = 1
    return getattr(diffusers, name)(**known | options)


def first(out: Any, like: Any) -> Any:
    """The prediction in a model's answer."""
    return getattr(out, "sample", out)[:, : like.shape[1]]


def their_step(model: Any, scheduler: Any, k: int, x: Any, condition: Any) -> tuple[Any, ...]:
    """Levels a, b, and sqrt(1 + b^2) of it, and the state at b, by their step k of five from x."""
    name, config = type(scheduler).__name__, scheduler.config
    if name == "DDPMScheduler":
        scheduler, name = diffusers.DDIMScheduler.from_config(config), "DDIMScheduler"
    if "timestep_spacing" in config:
        scheduler = type(scheduler).from_config(scheduler.config, timestep_spacing="trailing")
    scheduler.set_timesteps(5)
    is_flow = name.startswith("Flow") or config.get("use_flow_sigmas", False)
    if is_flow and name != "FlowMatchEulerDiscreteScheduler":  # they truncate u T to an integer
        scheduler.timesteps = torch.tensor([90, 75, 50, 30, 10])
        scheduler.sigmas = torch.tensor([0.9, 0.75, 0.5, 0.3, 0.1, 0.0])
    time = scheduler.timesteps[k]
    if name == "DDIMScheduler":
        products = scheduler.alphas_cumprod[[int(time), int(time) - T // 5]].double()
        a, b = (1.0 / products - 1.0).sqrt()
    else:
        scheduler.set_begin_index(k)
        a, b = scheduler.sigmas[k : k + 2].double()
    if is_flow:
        a, b = a / (1.0 - a), b / (1.0 - b)
    scales = [1.0 / (1.0 + s) if is_flow else (1.0 + s**2) ** -0.5 for s in (a, b)]
    if name in ("EulerDiscreteScheduler", "EDMEulerScheduler"):
        scales = [1.0, 1.0]
    x = a * x
    state = (scales[0] * x).float()
    fed = state if is_flow else scheduler.scale_model_input(state, time)
    answer = first(model(fed, time.expand(B), **condition), x)
    after = scheduler.step(answer, time, state).prev_sample
    return float(a), float(b), x.float(), after.double() / scales[1]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """In models of this size threads only wait for each other, for long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: make() for name, (make, _, _) in NETWORKS.items()}


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize("network", NETWORKS)
def test_one_step_is_their_own(network: str, trained: str, models: dict[str, Any]) -> None:
    """At levels with a whole time, where the times nearest and interpolated are one."""
    (_, channels, condition), (name, options) = NETWORKS[network], TRAINED[trained]
    for k, time in ((1, "nearest"), (3, "interpolated")):
        scheduler = scheduler_of(name, **options)
        a, b, x, theirs = their_step(models[network], scheduler, k, noise(channels), condition)
        x0 = denoiser_from(models[network], scheduler, time=time)(x, level(a), condition)
        ours = b / a * x.double() + (1.0 - b / a) * x0.double()
        off = float((ours - theirs).abs().max()) / (1.0 + b**2) ** 0.5
        assert off <= ROUNDING


def test_every_pair_of_supported_classes_is_among_these() -> None:
    assert {*NETWORKS} == {*MODELS, "callable"}
    assert {name for name, _ in TRAINED.values()} == {*SCHEDULERS}


class Recorder:
    """A model that keeps what it was called with, and answers with its input."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, dict[str, Any]]] = []

    def __call__(self, x: Any, time: Any, **condition: Any) -> Any:
        """Its input."""
        self.calls.append((x, time, condition))
        return x


def times_given(scheduler: Any, sigmas: Any, time: str) -> Any:
    seen = Recorder()
    denoiser_from(seen, scheduler, time=time)(torch.zeros(len(sigmas), 1), sigmas)
    return seen.calls[0][1]


def table_of(scheduler: Any) -> Any:
    products = scheduler.alphas_cumprod.double()
    return ((1.0 - products) / products).sqrt()


@pytest.mark.parametrize("kind", VP)
def test_times_are_the_nearest_index_or_between_two_in_log_sigma(kind: str) -> None:
    """Interpolated to 1e-5 of an index, since networks are given float32 times below 100."""
    scheduler = scheduler_of(f"{kind}Scheduler", beta_schedule="squaredcos_cap_v2")
    table = table_of(scheduler)
    index = doubles([0.0, 0.3, 5.0, 17.49, 17.51, 60.8, 98.0, 98.7, 99.0])
    left = index.floor().long().clamp(max=T - 2)
    sigmas = table[left] * (table[left + 1] / table[left]) ** (index - left)
    nearest = times_given(scheduler, sigmas, "nearest")
    assert nearest.dtype == torch.int64
    assert nearest.tolist() == [0, 0, 5, 17, 18, 61, 98, 99, 99]
    between = times_given(scheduler, sigmas, "interpolated")
    assert between.dtype == torch.float32
    torch.testing.assert_close(between.double(), index, rtol=0.0, atol=1e-5)


def test_levels_of_exact_betas_have_the_indices_of_the_float32_table() -> None:
    """The ends too, though 1 - abar in float32 is off by 1.6e-4 at the first index."""
    scheduler = diffusers.DDPMScheduler(clip_sample=False)
    exact = torch.from_numpy(DDPM().sigma(range(1000)))
    assert float((exact / table_of(scheduler)).log().abs().max()) > 1e-5
    assert times_given(scheduler, exact, "nearest").tolist() == list(range(1000))
    assert exact[0] < table_of(scheduler)[0]
    assert float(times_given(scheduler, exact, "interpolated")[0]) == 0.0


def test_interpolated_times_are_those_that_euler_gives_to_levels_of_ones_own() -> None:
    """EulerDiscrete.set_timesteps(sigmas=...) interpolates log sigma too, in float32."""
    scheduler = scheduler_of("EulerDiscreteScheduler")
    sigmas = [1.5, 0.9, 0.33, 0.1, 0.02]
    scheduler.set_timesteps(sigmas=[*sigmas, 0.0])
    ours = times_given(scheduler, doubles(sigmas), "interpolated")
    torch.testing.assert_close(ours, scheduler.timesteps, rtol=0.0, atol=1e-3)


def test_levels_of_one_call_may_differ_in_time(models: dict[str, Any]) -> None:
    denoise = denoiser_from(models["callable"], scheduler_of("DDIMScheduler"))
    x, sigmas = noise(3), doubles([0.05, 1.3])
    apart = [denoise(x[i : i + 1], sigmas[i : i + 1]) for i in range(B)]
    torch.testing.assert_close(denoise(x, sigmas), torch.cat(apart))


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("time", ["nearest", "interpolated"])
def test_flow_time_is_u_of_sigma_whatever_the_shift(time: str, shift: float) -> None:
    """That is u T, not rounded, on FlowMatchEuler's grid, which alone the shift moves."""
    scheduler = scheduler_of("FlowMatchEulerDiscreteScheduler", shift=shift)
    scheduler.set_timesteps(7)
    u = scheduler.sigmas[1:-1].double()
    given = times_given(scheduler, u / (1.0 - u), time)
    torch.testing.assert_close(given, scheduler.timesteps[1:])
    assert bool((given != given.round()).any())


@pytest.mark.parametrize("kind", ["DPMSolverMultistep", "UniPCMultistep"])
def test_flow_sigmas_of_an_integer_time_class_are_rounded_if_asked(kind: str) -> None:
    scheduler = scheduler_of(f"{kind}Scheduler", **TRAINED[f"{kind}, epsilon, flow"][1])
    u = doubles([0.01, 0.2249, 0.2251, 0.99])
    assert times_given(scheduler, u / (1.0 - u), "nearest").tolist() == [1, 22, 23, 99]
    between = times_given(scheduler, u / (1.0 - u), "interpolated").double()
    torch.testing.assert_close(between, T * u, rtol=1e-6, atol=0.0)


def test_edm_time_is_theirs() -> None:
    scheduler = scheduler_of("EDMEulerScheduler")
    scheduler.set_timesteps(9)
    given = times_given(scheduler, scheduler.sigmas[:-1].double(), "nearest")
    torch.testing.assert_close(given, scheduler.timesteps)


@pytest.mark.parametrize("kind", VP)
@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
def test_the_last_level_of_zero_terminal_snr_is_left_out(kind: str, betas: str) -> None:
    """Its abar is 0, or 2^-24 in its place, which for linear betas is above its neighbour's."""
    options = {"rescale_betas_zero_snr": True, "beta_schedule": betas, "beta_end": 0.02}
    scheduler = scheduler_of(f"{kind}Scheduler", num_train_timesteps=1000, **options)
    denoise = denoiser_from(Recorder(), scheduler, time="interpolated")
    assert denoise.sigma_max == pytest.approx(float(table_of(scheduler)[998]), rel=1e-12)
    given = times_given(scheduler, doubles([denoise.sigma_max]), "interpolated")
    assert given.tolist() == [998.0]


RANGES = {
    "DDIM": ("DDIMScheduler", {}, None),
    "FlowMatchEuler": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, (1.0 / 99.0, 99.0)),
    "UniPC, flow": ("UniPCMultistepScheduler", TRAINED["UniPCMultistep, sample, flow"][1],
                    (1.0 / 99.0, 99.0)),
    "EDMEuler": ("EDMEulerScheduler", {"sigma_min": 0.01, "sigma_max": 20.0}, (0.01, 20.0)),
    "Euler, continuous": (
        "EulerDiscreteScheduler",
        TRAINED["EulerDiscrete, continuous"][1] | {"sigma_min": 0.002, "sigma_max": 700.0},
        (0.002, 700.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RANGES)
def test_levels_outside_the_range_are_refused_not_clamped(case: str) -> None:
    name, options, ends = RANGES[case]
    scheduler = scheduler_of(name, **options)
    low, high = ends or table_of(scheduler)[[0, -1]].tolist()
    denoise = denoiser_from(Recorder(), scheduler)
    assert (denoise.sigma_min, denoise.sigma_max) == pytest.approx((low, high), rel=1e-12)
    x = torch.zeros(1, 1)
    for sigma in (low, high, low * (1 - 4e-4), high * (1 + 4e-4)):
        assert bool(denoise(x, level(sigma, 1)).isfinite().all())
    for sigma in (low * 0.999, high * 1.001, float("nan")):
        rule = rf"^sigma must be in {low:.9g}\.\.{high:.9g}, the levels of {name}, got {sigma:.9g}$"
        with pytest.raises(ValueError, match=rule):
            denoise(torch.zeros(2, 1), doubles([low, sigma]))


def test_of_twice_the_channels_the_first_half_is_the_prediction() -> None:
    def learned(x: Any, time: Any) -> Any:
        return (torch.cat([plain(x, time), 9.0 + x], dim=1),)

    scheduler = scheduler_of("DDPMScheduler", variance_type="learned_range")
    x, sigma = noise(3), level(0.4)
    ours = denoiser_from(learned, scheduler)(x, sigma)
    torch.testing.assert_close(ours, denoiser_from(plain, scheduler)(x, sigma), rtol=0, atol=0)


@pytest.mark.parametrize("weight", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(
    ("network", "null"),
    [
        ("UNet2DModel", {"class_labels": torch.tensor(4)}),
        ("DiTTransformer2DModel", labels(CLASSES)),
        ("DiTTransformer2DModel", labels(CLASSES, 1)),
        ("UNet2DConditionModel", texts(2, 1)),
        ("UNet2DConditionModel", {"encoder_hidden_states": texts(2)["encoder_hidden_states"][0]}),
    ],
)
def test_guidance_is_the_formula_of_two_calls(
    network: str, null: dict[str, Any], weight: float, models: dict[str, Any]
) -> None:
    """x0 is linear in F; to 1e-5, the rounding of answers of size 1 times the weight."""
    _, channels, condition = NETWORKS[network]
    calls = []

    def counted(x: Any, time: Any, **given: Any) -> Any:
        calls.append(len(x))
        return models[network](x, time, **given)

    scheduler = scheduler_of("DDIMScheduler", prediction_type="v_prediction")
    guided = denoiser_from(counted, scheduler, guidance=weight, null_condition=null)
    single = denoiser_from(models[network], scheduler)
    x, sigma = noise(channels), doubles([1.1, 0.2])
    ((name, row),) = null.items()
    rows = row.expand(condition[name].shape)
    with_it, without = single(x, sigma, condition), single(x, sigma, {name: rows})
    assert float((with_it - without).abs().max()) > 1e-3
    ours = guided(x, sigma, condition)
    assert calls == [2 * B]
    torch.testing.assert_close(ours, without + weight * (with_it - without), rtol=0, atol=1e-5)


def test_guidance_of_a_half_precision_model_is_taken_in_float32() -> None:
    """In bfloat16 the sum of 1 and 1.3 / 128 would be 1 + 1 / 128."""

    def model(x: Any, time: Any, class_labels: Any) -> Any:
        return torch.ones_like(x) + class_labels.reshape(-1, 1, 1, 1).to(x) / 128

    scheduler = scheduler_of("DDIMScheduler", prediction_type="sample")
    options = {"guidance": 1.3, "null_condition": labels(0)}
    ours = denoiser_from(model, scheduler, dtype=torch.bfloat16, **options)
    x0 = ours(noise(3), level(1.0), labels(1, 1))
    torch.testing.assert_close(x0, torch.full_like(x0, 1.0 + 1.3 / 128), rtol=1e-7, atol=0)


def test_guidance_refuses_what_does_not_fit() -> None:
    scheduler = scheduler_of("DDIMScheduler")
    with pytest.raises(ValueError, match=r"must come together, got guidance 2\.0 and no null_cond"):
        denoiser_from(plain, scheduler, guidance=2.0)
    with pytest.raises(ValueError, match="must come together, got guidance None and a null_cond"):
        denoiser_from(plain, scheduler, null_condition=labels(1))
    with pytest.raises(ValueError, match="guidance must be finite, got nan"):
        denoiser_from(plain, scheduler, guidance=float("nan"), null_condition=labels(1))
    with pytest.raises(ValueError, match="guidance must be one number"):
        denoiser_from(plain, scheduler, guidance=[1.0], null_condition=labels(1))
    ours = denoiser_from(Recorder(), scheduler, guidance=2.0, null_condition=texts(1, 1))
    x, sigma = noise(3), level(1.0)
    for condition, got in ((None, "none"), (labels(1, 2), "class_labels")):
        rule = f"condition must hold what null_condition holds, encoder_hidden_states, got {got}"
        with pytest.raises(ValueError, match=rule):
            ours(x, sigma, condition)
    long = {"encoder_hidden_states": torch.zeros(B, TOKENS + 1, WIDTH)}
    with pytest.raises(ValueError, match=r"one row or 2, of shape \(4, 6\), got \(1, 3, 6\) for"):
        ours(x, sigma, long)
    many = denoiser_from(Recorder(), scheduler, guidance=2.0, null_condition=texts(1, 3))
    with pytest.raises(ValueError, match=r"must have one row or 2, .* got \(3, 3, 6\) for enc"):
        many(x, sigma, texts(2))
    with pytest.raises(ValueError, match="class_labels must have a row a sample, 2, got 3"):
        denoiser_from(Recorder(), scheduler)(x, sigma, labels(1, 2, 3))


def test_conditions_pass_through_and_floats_take_the_dtype_of_the_model() -> None:
    seen = Recorder()
    given = texts(1) | labels(1, 2)
    denoise = denoiser_from(seen, scheduler_of("DDIMScheduler"), dtype=torch.float64)
    denoise(noise(3), level(1.0), given)
    x, time, condition = seen.calls[0]
    assert (x.dtype, time.dtype) == (torch.float64, torch.int64)
    assert condition["class_labels"] is given["class_labels"]
    torch.testing.assert_close(condition, {k: v.double() if k[0] == "e" else v
                                           for k, v in given.items()}, rtol=0, atol=0)  # fmt: skip


def test_half_precision_models_answer_near_the_single_ones(models: dict[str, Any]) -> None:
    """To 0.05: bfloat16 holds 8 bits, of some ten layers."""
    _, channels, condition = NETWORKS["UNet2DConditionModel"]
    scheduler, x, sigma = scheduler_of("DDIMScheduler"), noise(channels), level(0.8)
    single = denoiser_from(models["UNet2DConditionModel"], scheduler)(x, sigma, condition)
    half = denoiser_from(text_unet().bfloat16(), scheduler, dtype=torch.bfloat16)
    mixed = denoiser_from(models["UNet2DConditionModel"], scheduler, autocast=torch.bfloat16)
    for denoise in (half, mixed):
        ours = denoise(x, sigma, condition)
        assert ours.dtype == torch.float32
        assert 0 < float((ours - single).abs().max()) < 0.05


def test_answers_that_are_no_tensor_are_refused() -> None:
    denoise = denoiser_from(lambda x, time: {"sample": x}, scheduler_of("DDIMScheduler"))
    with pytest.raises(
        TypeError, match=r"model must answer with a tensor, a tuple or \.sample, got"
    ):
        denoise(noise(3), level(1.0))


def test_clip_is_that_of_the_config_and_their_step_from_the_clipped_prediction() -> None:
    """DDIMScheduler steps so with use_clipped_model_output=True; without it eps is unclipped."""
    scheduler = scheduler_of("DDIMScheduler", clip_sample=True, clip_sample_range=0.3)
    scheduler.set_timesteps(5)
    index = 59
    a, b = table_of(scheduler)[[index, index - 20]]
    state = noise(3)
    x = state * (1.0 + a**2).sqrt()
    answer = plain(state, torch.full((B,), index))
    theirs = scheduler.step(answer, index, state, use_clipped_model_output=True).prev_sample
    x0 = denoiser_from(plain, scheduler)(x.float(), level(a))
    assert float(x0.abs().max()) == pytest.approx(0.3, rel=1e-6)
    ours = (b / a * x + (1.0 - b / a) * x0) / (1.0 + b**2).sqrt()
    torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=ROUNDING)
    wide = denoiser_from(plain, scheduler, clip=False)(x.float(), level(a))
    assert float(wide.abs().max()) > 0.5
    given = denoiser_from(plain, scheduler, clip=0.5)(x.float(), level(a))
    torch.testing.assert_close(given, wide.clamp(-0.5, 0.5), rtol=0, atol=0)


def test_limit_of_a_config() -> None:
    """Euler keeps, but does not read, the clip_sample of a config that it was made from."""
    ddim = scheduler_of("DDIMScheduler", clip_sample=True)
    assert limit_of(ddim) == 1.0
    assert limit_of(scheduler_of("DDPMScheduler")) is None
    euler = diffusers.EulerDiscreteScheduler.from_config(ddim.config)
    assert euler.config["clip_sample"]
    assert limit_of(euler) is None
    dynamic = scheduler_of("UniPCMultistepScheduler", thresholding=True)
    with pytest.raises(ValueError, match=r"clip must be a bound or False .*thresholding.*got None"):
        limit_of(dynamic)
    assert limit_of(dynamic, clip=False) is None
    assert limit_of(dynamic, clip=2) == 2.0
    for clip, rule in ((True, "a bound, False or None, got True"), (-1.0, "positive, got -1")):
        with pytest.raises(ValueError, match=f"clip must be {rule}"):
            limit_of(ddim, clip)


@pytest.mark.parametrize("kind", ["PNDM", "HeunDiscrete", "EulerAncestralDiscrete", "LCM"])
def test_other_schedulers_are_refused_with_the_list(kind: str) -> None:
    scheduler = getattr(diffusers, f"{kind}Scheduler")()
    rule = f"scheduler must be one of {', '.join(SCHEDULERS)}, got '{kind}Scheduler'"
    with pytest.raises(ValueError, match=rule):
        denoiser_from(plain, scheduler)


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("DDIM", {"prediction_type": "flow_prediction"}, "prediction_type of this DDIMScheduler"),
        ("UniPCMultistep", {"prediction_type": "v_prediction", "use_flow_sigmas": True}, "one of"),
        ("FlowMatchEulerDiscrete", {"invert_sigmas": True}, "invert_sigmas .* must be False"),
        ("DDIM", {"trained_betas": [0.1, 0.0, 0.2]}, "sigmas of this DDIM.* must rise strictly"),
        ("FlowMatchEulerDiscrete", {"num_train_timesteps": 1}, "num_train_timesteps must be .* 2"),
        ("DDIM", {"trained_betas": [0.1]}, "at least 2 levels, got 1"),
    ],
)
def test_configs_that_no_denoiser_can_serve_are_refused(
    name: str, options: dict[str, Any], rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        training_of(scheduler_of(f"{name}Scheduler", **options))


def test_unknown_times_are_refused() -> None:
    with pytest.raises(ValueError, match="time must be one of nearest, interpolated, got 'near'"):
        denoiser_from(plain, scheduler_of("DDIMScheduler"), time="near")


def pipeline_folder(root: Path, **parts: Any) -> Path:
    """What a pipeline of these parts saves, by hand: some pipelines need more libraries."""
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42"}
    for name, part in parts.items():
        part.save_pretrained(root / name)
        index[name] = ["diffusers", type(part).__name__]
    index |= {"text_encoder": ["transformers", "CLIPTextModel"], "safety_checker": [None, None]}
    (root / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return root


def edit(path: Path, **changes: Any) -> None:
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(fields | changes), encoding="utf-8")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only; tests copy it to spoil it."""
    root = tmp_path_factory.mktemp("saved")
    ddim = scheduler_of("DDIMScheduler", clip_sample=True)
    diffusers.DDIMPipeline(unet(), ddim).save_pretrained(root / "image")
    text = pipeline_folder(
        root / "text",
        unet=text_unet(),
        scheduler=scheduler_of("EulerDiscreteScheduler", prediction_type="v_prediction"),
        vae=vae(),
    )
    (text / "text_encoder").mkdir()
    (text / "text_encoder" / "config.json").write_text('{"max_position_embeddings": 77}')
    flow = scheduler_of("FlowMatchEulerDiscreteScheduler", shift=3.0)
    diffusers.DiTPipeline(dit(), vae(shift_factor=None), flow).save_pretrained(root / "dit")
    return root


@pytest.fixture
def image(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved / "image", tmp_path / "image"))


def same(ours: SchedulerDenoiser, model: Any, scheduler: Any, network: str, **options: Any) -> bool:
    """Whether both answer alike, bit for bit."""
    _, channels, condition = NETWORKS[network]
    x, sigma = noise(channels), level(0.8)
    theirs = denoiser_from(model, scheduler, **options)
    return torch.equal(ours(x, sigma, condition), theirs(x, sigma, condition))


def test_a_folder_gives_the_same_answers_bit_for_bit(saved: Path) -> None:
    denoise, info = load_folder(saved / "image")
    scheduler = scheduler_of("DDIMScheduler", clip_sample=True)
    assert same(denoise, unet(), scheduler, "UNet2DModel")
    assert not denoise.predictor.network.model.training
    assert (info.model, info.scheduler) == ("UNet2DModel", "DDIMScheduler")
    assert (info.shape, info.condition, info.condition_size) == ((3, 8, 8), "class_labels", (5,))
    assert (info.sigma_min, info.sigma_max) == (denoise.sigma_min, denoise.sigma_max)
    assert [info.sigma_min, info.sigma_max] == table_of(scheduler)[[0, -1]].tolist()
    assert info.encode is None
    assert info.decode is None


def test_a_folder_of_a_text_model_has_tokens_and_latents(saved: Path) -> None:
    options = {"guidance": 3.0, "null_condition": texts(2, 1), "time": "interpolated"}
    denoise, info = load_folder(str(saved / "text"), **options)
    scheduler = scheduler_of("EulerDiscreteScheduler", prediction_type="v_prediction")
    assert same(denoise, text_unet(), scheduler, "UNet2DConditionModel", **options)
    assert info.shape == (4, 8, 8)
    assert (info.condition, info.condition_size) == ("encoder_hidden_states", (77, WIDTH))


def test_latents_are_the_mode_shifted_and_scaled_and_back(saved: Path) -> None:
    """Latents = 0.4 (mode - 0.1), and the decoder is given the mode again, to rounding."""
    _, info = load_folder(saved / "text")
    images, theirs = noise(3).clamp(-1, 1), vae()
    mode = theirs.encode(images).latent_dist.mode()
    latents = info.encode(images)
    torch.testing.assert_close(latents, 0.4 * (mode - 0.1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(info.decode(latents), theirs.decode(mode).sample, rtol=0, atol=1e-5)
    _, info = load_folder(saved / "dit")
    mode = vae(shift_factor=None).encode(images).latent_dist.mode()
    torch.testing.assert_close(info.encode(images), 0.4 * mode, rtol=1e-6, atol=1e-6)


def test_the_dtype_is_that_of_the_model_and_not_of_the_autoencoder(saved: Path) -> None:
    denoise, info = load_folder(saved / "text", dtype=torch.bfloat16)
    model = text_unet().bfloat16()
    assert denoise.predictor.network.model.dtype == torch.bfloat16
    options = {"dtype": torch.bfloat16}
    scheduler = scheduler_of("EulerDiscreteScheduler", prediction_type="v_prediction")
    assert same(denoise, model, scheduler, "UNet2DConditionModel", **options)
    assert torch.equal(info.encode(noise(3)), load_folder(saved / "text")[1].encode(noise(3)))


def test_a_folder_of_dit_by_its_new_and_its_old_name(saved: Path, tmp_path: Path) -> None:
    """Transformer2DModel with this norm is DiT, as diffusers itself has it; another norm is not."""
    scheduler = scheduler_of("FlowMatchEulerDiscreteScheduler")
    denoise, info = load_folder(saved / "dit")
    assert same(denoise, dit(), scheduler, "DiTTransformer2DModel")
    assert (info.shape, info.condition, info.condition_size) == ((4, 8, 8), "class_labels", (5,))
    old = Path(shutil.copytree(saved / "dit", tmp_path / "dit"))
    edit(old / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    edit(old / "transformer" / "config.json", _class_name="Transformer2DModel")
    denoise, info = load_folder(old)
    assert info.model == "DiTTransformer2DModel"
    assert same(denoise, dit(), scheduler, "DiTTransformer2DModel")
    edit(old / "transformer" / "config.json", norm_type="ada_norm_single")
    with pytest.raises(ValueError, match=r"model must be one of .* got 'Transformer2DModel'"):
        load_folder(old)


@pytest.mark.parametrize("place", ["scheduler beside", "scheduler inside", "flat", "flat pipeline"])
def test_a_model_folder_takes_the_scheduler_in_it_or_beside_it(image: Path, place: str) -> None:
    folder = image / "unet"
    config = image / "scheduler" / "scheduler_config.json"
    if place == "scheduler inside":
        shutil.move(image / "scheduler", folder / "scheduler")
    if place.startswith("flat"):
        shutil.move(config, folder)
    if place == "flat pipeline":  # where old ones lie; model_index.json names no folder then
        shutil.move(image / "model_index.json", folder)
    denoise, info = load_folder(folder)
    assert info.scheduler == "DDIMScheduler"
    assert same(denoise, unet(), scheduler_of("DDIMScheduler", clip_sample=True), "UNet2DModel")


def test_sharded_weights_are_read(image: Path) -> None:
    folder = image / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    unet().save_pretrained(folder, max_shard_size="20KB")
    assert not (folder / "diffusion_pytorch_model.safetensors").exists()
    denoise, _ = load_folder(image)
    assert same(denoise, unet(), scheduler_of("DDIMScheduler", clip_sample=True), "UNet2DModel")


@pytest.mark.parametrize("shard", [None, "20KB"])
def test_weights_of_one_variant_are_read(image: Path, shard: str | None) -> None:
    """fp16 weights, whole or in shards: float32 holds their numbers exactly."""
    folder = image / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    more = {} if shard is None else {"max_shard_size": shard}
    unet().half().save_pretrained(folder, variant="fp16", **more)
    denoise, _ = load_folder(image)
    halved = unet().half().float()
    assert same(denoise, halved, scheduler_of("DDIMScheduler", clip_sample=True), "UNet2DModel")
    unet().save_pretrained(folder, variant="ema")
    with pytest.raises(ValueError, match="got the variants ema, fp16; keep one of them"):
        load_folder(image)


def test_thresholding_is_refused_with_the_folder_and_the_mend(image: Path) -> None:
    config = image / "scheduler" / "scheduler_config.json"
    fields = json.loads(config.read_text()) | {"thresholding": True}
    config.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="set thresholding to false in its config") as error:
        load_folder(image)
    assert str(error.value).startswith(str(image))


def spoil(image: Path, fault: str) -> None:
    """One fault in a good folder of a UNet2DModel and a DDIMScheduler."""
    weights = image / "unet" / "diffusion_pytorch_model.safetensors"
    index, config = image / "model_index.json", image / "unet" / "config.json"
    if fault == "no folder":
        shutil.rmtree(image)
    elif fault == "nothing known in it":
        index.unlink()
    elif fault == "index is no json":
        index.write_text('{"unet": ')
    elif fault == "index is a list":
        index.write_text("[]")
    elif fault == "no scheduler":
        edit(index, scheduler=[None, None])
    elif fault == "unknown model":
        edit(index, unet=["diffusers", "UNet3DConditionModel"])
    elif fault == "own code":
        edit(index, unet=["my_unet", "UNet2DModel"])
    elif fault == "unknown scheduler":
        edit(index, scheduler=["diffusers", "PNDMScheduler"])
    elif fault == "unknown autoencoder":
        edit(index, vqvae=["diffusers", "AutoencoderTiny"])
    elif fault == "other model":
        edit(config, _class_name="UNet2DConditionModel")
    elif fault == "no config":
        config.unlink()
    elif fault == "no scheduler config":
        (image / "scheduler" / "scheduler_config.json").unlink()
    elif fault == "pickle only":
        torch.save({}, weights.with_suffix(".bin"))
        weights.unlink()
    elif fault == "no weights":
        weights.unlink()
    elif fault == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif fault == "fewer weights":
        edit(config, layers_per_block=2)
    elif fault == "more weights":
        edit(config, num_class_embeds=None)
    elif fault == "wider weights":
        edit(config, in_channels=4)
    elif fault == "nonsense in the config":
        edit(config, block_out_channels="wide")
    elif fault == "no size":
        edit(config, sample_size=None)


FAULTS = {
    "no folder": "path must be a folder with model_index.json or config.json, got nei",
    "nothing known in it": "path must be a folder with model_index.json or config.json, got nei",
    "index is no json": "model_index.json must be valid JSON, got Expecting value: line 1",
    "index is a list": "model_index.json must hold a JSON object, got list",
    "no scheduler": "path must hold a model and a scheduler, got model",
    "unknown model": f"model must be one of {', '.join(MODELS)}, got 'UNet3DConditionModel'",
    "own code": r"unet must be a class of diffusers, got \['my_unet', 'UNet2DModel'\]",
    "unknown scheduler": f"scheduler must be one of {', '.join(SCHEDULERS)}, got 'PNDMScheduler'",
    "unknown autoencoder": "one of AutoencoderKL, VQModel, got 'AutoencoderTiny'",
    "other model": "unet/config.json must be of a UNet2DModel, got 'UNet2DConditionModel'",
    "no config": "unet/config.json: the file must be readable, got No such file",
    "no scheduler config": "scheduler must hold a DDIMScheduler that loads, got OSError: ",
    "pickle only": "must be in .*.safetensors, got diffusion_pytorch_model.bin; save it as safeten",
    "no weights": "weights of UNet2DModel must be in .*.safetensors, got none",
    "cut weights": "unet must hold a UNet2DModel that loads, got ",
    "fewer weights": r"must be those of its config.json, got \d+ missing keys, ",
    "more weights": r"those of its config.json, got 1 unexpected keys, class_embedding.weight",
    "wider weights": "unet must hold a UNet2DModel that loads, got RuntimeError: ",
    "nonsense in the config": "unet must hold a UNet2DModel that loads, got ",
    "no size": "sample_size in the model's config.json must be 1 or 2 sides, got None",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoilt_folder_is_refused_in_a_line_that_names_it(image: Path, fault: str) -> None:
    """And nothing is left behind: diffusers leaves torch's default dtype where loading fails."""
    spoil(image, fault)
    with pytest.raises(ValueError, match=FAULTS[fault]) as caught:
        load_folder(image, dtype=torch.float16)
    message = str(caught.value)
    assert message.startswith(f"{image}: ")
    assert "\n" not in message
    assert torch.get_default_dtype() == torch.float32


def test_text_models_with_further_inputs_and_other_latents_are_refused(
    saved: Path, tmp_path: Path
) -> None:
    text = Path(shutil.copytree(saved / "text", tmp_path / "text"))
    edit(text / "vae" / "config.json", latents_mean=[0.0] * 4)
    with pytest.raises(ValueError, match="latents_mean and latents_std must be null"):
        load_folder(text)
    vae(latent_channels=3).save_pretrained(text / "vae")
    with pytest.raises(ValueError, match="latent_channels must be 4, the model's, got 3"):
        load_folder(text)
    text_unet(in_channels=9).save_pretrained(text / "unet")
    with pytest.raises(ValueError, match="out_channels must be 9 or 18, got 4"):
        load_folder(text)
    text_unet(class_embed_type="timestep").save_pretrained(text / "unet")
    with pytest.raises(ValueError, match="class_embed_type must be null"):
        load_folder(text)
    text_unet(num_class_embeds=3).save_pretrained(text / "unet")
    with pytest.raises(ValueError, match=r"num_class_embeds must be null .* got 3"):
        load_folder(text)
