"""Images per second of EDM2 on a GPU, against the GPU's matrix products and the plain network.

    python -m benchmarks.imagenet.throughput [--size s] [--device cuda] [--no-compile] [--out FILE]
    python -m benchmarks.imagenet.throughput --images 2048 [--batch 256] [...]

The networks have the true size and random weights. Sampling takes 32 steps of deterministic DDIM
from Philox noise, with states in float32 on the GPU, without encoding or disk access. The plain
network is the same network as it is published: eager, channels first, weights normalised at every
call. With --images the measurement is end to end: from a file of such weights, through the code of
`entropic imagenet generate`, to images on disk.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.imagenet.generate import Recipe, generate_images
from benchmarks.imagenet.ranks import join
from benchmarks.networks.adapters import Predictor
from benchmarks.networks.published.edm2 import SIGMA_DATA, SIZES, Edm2, build
from benchmarks.networks.published.opened import open_official
from benchmarks.networks.sampling import philox, walk_table
from theory.schedules.standard import edm_sigmas
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from theory.writing import write_text

GMAC = {"xs": 44.9, "s": 100.8, "m": 178.9, "l": 279.3, "xl": 401.9}  # per image and call
STEPS, REPEATS, TRIAL_STEPS = 32, 5, 2
SQUARES = (4096, 8192, 16384)
BATCHES = (64, 128, 256, 512)


def wait(device: str) -> None:
    """Wait until the GPU has finished its work."""
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: str) -> float:
    """Seconds that one call takes."""
    wait(device)
    begin = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - begin


def matmul_rate(device: str, squares: tuple[int, ...]) -> dict[int, float]:
    """FLOP per second of square bfloat16 products, the best of five runs of ten products each."""
    found = {}
    for n in squares:
        a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
        out = torch.empty_like(a)

        def ten(a: Tensor = a, b: Tensor = b, out: Tensor = out) -> None:
            for _ in range(10):
                torch.matmul(a, b, out=out)

        ten()
        found[n] = 20.0 * n**3 / min(seconds(ten, device) for _ in range(5))
    return found


def network(size: str, device: str, dtype: torch.dtype) -> Edm2:
    """The network of a published size with random weights and gains of 1."""
    torch.manual_seed(0)
    with torch.device(device):
        made = build(size)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if name.endswith("gain"):
                value.fill_(1.0)
    return made.to(dtype).eval().requires_grad_(False)


def sampler(net: Callable[..., Tensor], batch: int, device: str, dtype: torch.dtype, steps: int,
            fast: bool) -> Callable[[], Tensor]:  # fmt: skip
    """A function that draws a batch of images by DDIM in these steps, with one class per image."""
    table = make_table("ddim", edm_sigmas(steps, 80.0, 0.002, "zero"))
    assert isinstance(table, SolverTable)
    paths = torch.arange(batch, device=device)
    labels = {"class_labels": paths % 1000}

    def fed(x: Tensor, time: Tensor, **condition: Tensor) -> Tensor:
        if fast:
            x = x.contiguous(memory_format=torch.channels_last)
        return net(x, time, **condition)

    denoiser = Predictor(fed, "edm", sigma_data=SIGMA_DATA, dtype=dtype)

    def images() -> Tensor:
        with torch.inference_mode():
            draw = philox(0, paths, (3, 64, 64), torch.float32)
            start = draw(0) * float(table.start_std)
            return walk_table(denoiser, table, start, draw, labels)

    return images


def trial(net: Callable[..., Tensor], batch: int, device: str, dtype: torch.dtype, fast: bool,
          steps: int) -> float | None:  # fmt: skip
    """Images per second from few steps, scaled to STEPS; None if the memory does not suffice."""
    draw = sampler(net, batch, device, dtype, steps, fast)
    try:
        draw()
        return batch / seconds(draw, device) * steps / STEPS
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None


def best(rates: dict[int, float | None]) -> int:
    """The batch size of the highest rate."""
    return max(rates, key=lambda b: rates[b] or 0.0)


def measured(net: Callable[..., Tensor], batch: int, device: str, dtype: torch.dtype, fast: bool,
             steps: int, repeats: int) -> dict[str, Any]:  # fmt: skip
    """Median images per second over complete runs, and peak memory in GiB."""
    draw = sampler(net, batch, device, dtype, steps, fast)
    draw()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    taken = [seconds(draw, device) for _ in range(repeats)]
    peak = torch.cuda.max_memory_allocated() / 2**30 if device != "cpu" else None
    return {"batch": batch, "images_per_s": batch / statistics.median(taken), "peak_gib": peak}


def end_to_end(size: str, device: str, compiled: bool, batch: int, steps: int, images: int,
               say: Callable[[str, Any], None]) -> None:  # fmt: skip
    """Images per second on disk, by solver and format, after a first batch that compiles."""
    ranks = join(device)
    with TemporaryDirectory() as place:
        path = Path(place) / "net.safetensors"
        save_file(network(size, device, torch.float16).cpu().state_dict(), path)
        begin = time.perf_counter()
        opened = open_official(str(path), ranks.device, compiled=compiled)
        say("load_s", time.perf_counter() - begin)
        for solver, form in (("ddim", "array"), ("ddim", "png"), ("stochastic_ddim", "png")):
            levels = edm_sigmas(steps, 80.0, 0.002, "zero")
            recipe = Recipe(solver, {}, levels, "philox", batch, form, {})
            folder = Path(place) / f"{solver}-{form}"
            taken = [
                seconds(partial(generate_images, opened, recipe, seeds, folder, ranks), device)
                for seeds in (range(batch), range(images + batch))
            ]
            made = -(-images // batch) * batch
            say(f"{solver}_{form}_images_per_s", made / taken[1])
            say(f"{solver}_{form}_first_batch_s", taken[0])
            written = sum(p.stat().st_size for p in (folder / "images").iterdir())
            say(f"{solver}_{form}_bytes_an_image", written / (made + batch))


@click.command()
@click.option("--size", type=click.Choice(list(GMAC)), default="s")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda")
@click.option("--compile/--no-compile", "compiled", default=True)
@click.option("--batch", "batches", type=click.IntRange(1), multiple=True, default=BATCHES)
@click.option("--steps", type=click.IntRange(1), default=STEPS)
@click.option("--repeats", type=click.IntRange(1), default=REPEATS)
@click.option("--square", "squares", type=click.IntRange(1), multiple=True, default=SQUARES)
@click.option("--images", type=click.IntRange(0), default=0, help="End to end, that many.")
@click.option("--out", type=click.Path(path_type=Path))
def main(
    size: str,
    device: str,
    compiled: bool,
    batches: tuple[int, ...],
    steps: int,
    repeats: int,
    squares: tuple[int, ...],
    images: int,
    out: Path | None,
) -> None:
    """Measure, print a line a number, and write all of them as JSON."""
    assert size in SIZES
    dtype = torch.float16 if device == "cuda" else torch.float32
    torch.backends.cudnn.benchmark = not images  # end-to-end runs must repeat to the byte
    found: dict[str, Any] = {"size": size, "steps": steps, "torch": torch.__version__}
    found["device"] = torch.cuda.get_device_name() if device == "cuda" else "cpu"

    def say(name: str, value: Any) -> None:
        found[name] = value
        click.echo(f"{name}: {value}")
        if out is not None:
            write_text(out, json.dumps(found, indent=1))

    if images:
        end_to_end(size, device, compiled, batches[0], steps, images, say)
        return
    say("matmul", matmul_rate(device, squares))
    rate = max(found["matmul"].values())
    flop = 2e9 * GMAC[size] * steps
    plain = network(size, device, dtype)
    rates = {b: trial(plain, b, device, dtype, False, TRIAL_STEPS) for b in batches}
    say("plain_by_batch", rates)
    row = measured(plain, best(rates), device, dtype, False, steps, repeats)
    say("plain", row | {"share": row["images_per_s"] * flop / rate})
    del plain
    settled = network(size, device, dtype).settle(dtype)
    rates = {b: trial(settled, b, device, dtype, True, TRIAL_STEPS) for b in batches}
    say("settled_by_batch", rates)
    row = measured(settled, best(rates), device, dtype, True, steps, repeats)
    say("settled", row | {"share": row["images_per_s"] * flop / rate})
    fast, row = found["settled"], found["settled"]
    if compiled:
        net = torch.compile(settled, dynamic=False)
        compiling = seconds(sampler(net, row["batch"], device, dtype, 1, True), device)
        row = measured(net, row["batch"], device, dtype, True, steps, repeats)
        row |= {"share": row["images_per_s"] * flop / rate, "compile_s": compiling}
        say("compiled", row)
        fast = max(fast, row, key=lambda r: r["images_per_s"])
    say("share_of_matmul", fast["share"])
    say("ratio_to_plain", fast["images_per_s"] / found["plain"]["images_per_s"])


if __name__ == "__main__":
    sys.exit(main())
