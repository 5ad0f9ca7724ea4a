"""The training loop: Adam on EDM's weighted loss, averaged weights, resumable to the bit.

Everything that a step draws (data, noise levels, noise, dropout) is a pure function of (seed,
step). A run that is killed and resumed from its last saved state therefore equals an uninterrupted
run. On a CPU it does so bit for bit, since the number of threads is part of the recipe.
"""

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks.adapters import Predictor
from benchmarks.networks.protocol import per_sample
from benchmarks.networks.small import build_network
from benchmarks.training.noise import make_noise
from benchmarks.training.recipe import Recipe
from benchmarks.training.targets import Target
from theory.checks import Array, check_seed

RAMP = 0.05  # the average's half-life is at most this share of the examples seen
INIT, SIGMAS, NOISE, LOG, TOLD = range(100, 105)  # streams of random numbers
SAVE_SECONDS = 20.0
Log = list[tuple[float, float, float]]


class Ema:
    """Exponentially averaged weights of a network, with a half-life in examples (Karras 2022).

    Args:
        network: The network, which is copied.
        half_life: Half-life in examples. It is capped at RAMP times the examples seen so far, so
            that the start is forgotten.
    """

    def __init__(self, network: nn.Module, half_life: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life
        self._ours: list[Tensor] = list(self.network.parameters())

    def update(self, network: nn.Module, batch: int, seen: int) -> None:
        """Average in the weights after a step of `batch` examples, `seen` being the new total."""
        half_life = min(self.half_life, RAMP * seen)
        with torch.no_grad():
            share = 1.0 - 0.5 ** (batch / half_life)
            theirs: list[Tensor] = list(network.parameters())
            torch._foreach_lerp_(self._ours, theirs, share)


class Trainer:
    """A run in memory: it proceeds step by step, and its state can be saved and restored.

    Args:
        recipe: The recipe of the run.
        target: The data of `recipe.target`.
        seed: Whole number in [0, 2**32).
        device: Device of the network.
    """

    def __init__(
        self, recipe: Recipe, target: Target, seed: int = 0, device: str | torch.device = "cpu"
    ) -> None:
        check_seed(seed)
        self.recipe, self.target, self.seed = recipe, target, seed
        self.device = torch.device(device)
        self.done = 0
        self.log: Log = []
        self.history: list[dict[str, Any]] = []
        self.noise = make_noise(
            recipe.noise, recipe.weighting, target.sigma_data, target.dim, recipe.noise_options
        )
        torch.manual_seed(_seed(seed, INIT))
        self.network = build_network(recipe.network).to(self.device).train()
        self.ema = Ema(self.network, recipe.ema_half_life)
        half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(recipe.precision)
        if half == torch.float16 and self.device.type == "cpu":
            raise ValueError("precision must be float32 or bfloat16 on the CPU, got float16")
        self._denoise = Predictor(self.network, "edm", sigma_data=target.sigma_data, autocast=half)
        self._adam = torch.optim.Adam(self.network.parameters(), lr=recipe.lr, fused=True)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=half == torch.float16)

    @property
    def kex(self) -> float:
        """Thousands of examples seen."""
        return self.done * self.recipe.batch / 1000.0

    def denoiser(self) -> Predictor:
        """The averaged network as a denoiser, in float32."""
        return Predictor(self.ema.network, "edm", sigma_data=self.target.sigma_data)

    def losses(self, step: int) -> tuple[Array, Tensor]:
        """Noise levels of a step and summed |D - x0|^2 of its samples, (batch,) each."""
        recipe = self.recipe
        sigma = self.noise.sample(recipe.batch, np.random.default_rng([self.seed, SIGMAS, step]))
        x0 = torch.from_numpy(self.target.batch(recipe.batch, self.seed, step)).to(self.device)
        level = torch.from_numpy(sigma).to(self.device)
        torch.manual_seed(_seed(self.seed, NOISE, step))  # for the noise here, then for dropout
        x = x0 + per_sample(level, x0).to(x0.dtype) * torch.randn_like(x0)
        if recipe.told_shift:
            shares = np.random.default_rng([self.seed, TOLD, step]).random(recipe.batch)
            level = level * torch.from_numpy(np.exp(-recipe.told_shift * shares)).to(level)
        return sigma, (self._denoise(x, level) - x0).square().flatten(1).sum(dim=1)

    def step(self) -> None:
        """Take one step of the optimiser."""
        recipe, step = self.recipe, self.done
        for group in self._adam.param_groups:
            group["lr"] = recipe.lr_at(step)
        sigma, errors = self.losses(step)
        weight = torch.from_numpy(self.noise.weight(sigma)).to(errors)
        loss = (weight * errors).mean() / self.target.dim
        self._adam.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.step(self._adam)
        self._scaler.update()
        self.done += 1
        self.ema.update(self.network, recipe.batch, self.done * recipe.batch)
        plain = errors.detach().cpu().double().numpy()  # the only copy from the device
        if not np.isfinite(plain).all():
            raise ValueError(f"lr must keep the loss finite, got {recipe.lr:g} at step {step}")
        self.noise.record(sigma, plain)
        if recipe.log_every and step % recipe.log_every == 0:
            rng = np.random.default_rng([self.seed, LOG, step])
            rows = rng.permutation(recipe.batch)[: recipe.log_rows]
            self.log += [(self.kex, float(sigma[i]), float(plain[i])) for i in rows]

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on. Tensors are not copied."""
        return {
            "step": self.done,
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "adam": self._adam.state_dict(),
            "scaler": self._scaler.state_dict(),
            "noise": self.noise.state_dict(),
            "log": np.array(self.log, dtype=np.float64).reshape(-1, 3),
            "history": self.history,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore a state of a run with the same recipe and seed."""
        self.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        self._adam.load_state_dict(state["adam"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        self.noise.load_state_dict(state["noise"])
        self.done = int(state["step"])
        self.log = [(float(a), float(b), float(c)) for a, b, c in state["log"]]
        self.history = list(state["history"])


def train(
    trainer: Trainer,
    save: Callable[[], None],
    evaluate: Callable[[], dict[str, Any]],
    tick: Callable[[int], Any],
    every: float = SAVE_SECONDS,
) -> None:
    """Run a trainer to its last step.

    Args:
        trainer: The run, at any step.
        save: Saves its state. Called every `every` seconds and after every evaluation.
        evaluate: Returns numbers of the averaged network at the time of the call.
        tick: Called with the number of steps done since the last call, which is one.
        every: Seconds between saves.
    """
    recipe, saved = trainer.recipe, time.monotonic()
    points = set(recipe.evaluation_steps)
    while trainer.done < recipe.steps:
        trainer.step()
        tick(1)
        if trainer.done in points:
            trainer.history.append({"kex": trainer.kex, **evaluate()})
            saved = -np.inf
        if time.monotonic() - saved >= every:
            save()
            saved = time.monotonic()


def _seed(*words: int) -> int:
    """A seed for torch, a pure function of the words."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
