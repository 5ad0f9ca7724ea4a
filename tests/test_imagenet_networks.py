"""EDM2's and EDM's networks: published names, shapes and counts, and the formulas in plain NumPy.

The oracle, in float64, was written from docs/papers/networks.md (Primitives, Block, Wiring, EDM's
networks) without looking at the modules. It reads a state dict by its names.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")

from benchmarks.networks.published.edm import (
    LAYOUTS,
    Edm,
    Layout,
)
from benchmarks.networks.published.edm2 import (
    Edm2,
    build,
)

State = dict[str, np.ndarray]
COUNTS = {
    "xs": (124_710_949, 512),
    "s": (280_209_381, 640),
    "m": (497_803_173, 768),
    "l": (777_492_325, 896),
    "xl": (1_119_276_837, 1024),
}
LATENT_COUNTS = {
    "xs": 124_713_253,
    "s": 280_212_837,
    "m": 497_807_781,
    "l": 777_498_085,
    "xl": 1_119_283_749,
    "xxl": 1_523_164_773,
}
EDM_COUNTS = {
    "cifar10": (55_733_891, 425),
    "ffhq64": (61_805_571, 553),
    "imagenet64": (295_899_267, 553),
}


def meta(make: Callable[[], Any]) -> Any:
    with torch.device("meta"):
        return make()


def numbers(network: Any) -> tuple[int, int]:
    """The numbers of elements in parameters and in buffers."""
    return tuple(sum(t.numel() for t in part) for part in (network.parameters(), network.buffers()))


@pytest.mark.parametrize("size", COUNTS)
def test_pixel_networks_have_the_published_counts(size: str) -> None:
    network = meta(lambda: build(size))
    assert numbers(network) == COUNTS[size]
    assert len(network.state_dict()) == 203


@pytest.mark.parametrize("size", LATENT_COUNTS)
def test_latent_networks_have_the_published_counts(size: str) -> None:
    assert numbers(meta(lambda: build(size, latents=True)))[0] == LATENT_COUNTS[size]


def test_an_unconditional_network_has_no_label_embedding() -> None:
    network = meta(lambda: build("xs", latents=True, classes=0))
    assert numbers(network)[0] == 124_201_253
    assert "unet.emb_label.weight" not in network.state_dict()


@pytest.mark.parametrize(("size", "width"), [("s", 192), ("l", 320)])
def test_names_and_shapes_are_the_published_ones(size: str, width: int) -> None:
    shapes = {k: tuple(v.shape) for k, v in meta(lambda: build(size)).state_dict().items()}
    wide = 4 * width
    expected = {
        "unet.emb_fourier.freqs": (width,),
        "unet.emb_fourier.phases": (width,),
        "unet.emb_noise.weight": (wide, width),
        "unet.emb_label.weight": (wide, 1000),
        "unet.enc.64x64_conv.weight": (width, 4, 3, 3),
        "unet.enc.32x32_down.conv_res0.weight": (width, width, 3, 3),
        "unet.enc.16x16_block0.conv_skip.weight": (3 * width, 2 * width, 1, 1),
        "unet.enc.8x8_block2.attn_qkv.weight": (3 * wide, wide, 1, 1),
        "unet.enc.8x8_block2.emb_gain": (),
        "unet.dec.8x8_in0.attn_proj.weight": (wide, wide, 1, 1),
        "unet.dec.8x8_block3.conv_res0.weight": (wide, 7 * width, 3, 3),
        "unet.dec.16x16_block3.conv_skip.weight": (3 * width, 5 * width, 1, 1),
        "unet.dec.64x64_block0.conv_res0.weight": (width, 3 * width, 3, 3),
        "unet.out_gain": (),
        "unet.out_conv.weight": (3, width, 3, 3),
        "logvar_fourier.freqs": (128,),
        "logvar_linear.weight": (1, 128),
    }
    assert {name: shapes[name] for name in expected} == expected
    skips = [name for name in shapes if "enc" in name and "conv_skip" in name]
    assert len(skips) == 3
    assert not any("conv_skip" in n for n in shapes if "_in" in n or "_up" in n or "_down" in n)
    attended = {n.split(".")[2] for n in shapes if "attn_qkv" in n}
    assert attended == {
        *(f"{side}x{side}_block{i}" for side in (16, 8) for i in range(4)),
        "8x8_in0",
    }


@pytest.mark.parametrize("name", EDM_COUNTS)
def test_edm_networks_have_the_published_counts(name: str) -> None:
    network = meta(lambda: Edm(LAYOUTS[name]))
    assert (numbers(network)[0], len(network.state_dict())) == EDM_COUNTS[name]
    assert all(key.startswith("model.") for key in network.state_dict())


def random_state(network: Any, seed: int) -> State:
    """Random numbers in every parameter and buffer, the network's own set to them."""
    rng, found = np.random.default_rng(seed), {}
    for name, value in network.state_dict().items():
        if name.endswith("resample_filter"):
            new = np.full(value.shape, 0.25)
        elif "norm" in name and name.endswith("weight"):
            new = rng.uniform(0.5, 1.5, value.shape)
        else:
            new = rng.standard_normal(value.shape)
            if value.ndim > 1 and name.startswith("model."):
                new /= math.sqrt(np.prod(value.shape[1:]))
        found[name] = new
    network.load_state_dict({k: torch.tensor(v) for k, v in found.items()})
    return {k: v.astype(np.float32).astype(np.float64) for k, v in found.items()}


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1.0 + np.exp(-x))


def conv(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Cross-correlation of (B, C, H, W) with (O, C, k, k), zeros around."""
    pad = weight.shape[-1] // 2
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, weight.shape[-2:], axis=(2, 3))
    return np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True)


def halved(x: np.ndarray) -> np.ndarray:
    return 0.25 * (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2])


def doubled(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, axis=2).repeat(2, axis=3)


def unit(x: np.ndarray, axes: Any) -> np.ndarray:
    return x / (np.sqrt(np.mean(x**2, axis=axes, keepdims=True)) + 1e-4)


def mp(weight: np.ndarray, gain: float = 1.0) -> np.ndarray:
    axes = tuple(range(1, weight.ndim))
    return unit(weight, axes) * gain / math.sqrt(np.prod(weight.shape[1:]))


def blend(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    return ((1 - t) * a + t * b) / math.sqrt((1 - t) ** 2 + t**2)


def attend(qkv: np.ndarray, heads: int, normalise: bool) -> np.ndarray:
    """One pixel and head at a time; channels are heads x C / heads x (q, k, v)."""
    b, channels, h, w = qkv.shape
    out = np.zeros((b, heads, channels // (3 * heads), h * w))
    parts = qkv.reshape(b, heads, -1, 3, h * w)
    for i in range(b):
        for head in range(heads):
            q, k, v = (parts[i, head, :, j] for j in range(3))
            if normalise:
                q, k, v = (unit(t, 0) for t in (q, k, v))
            score = q.T @ k / math.sqrt(len(q))
            share = np.exp(score - score.max(axis=1, keepdims=True))
            out[i, head] = v @ (share / share.sum(axis=1, keepdims=True)).T
    return out.reshape(b, channels // 3, h, w)


def edm2_block(s: State, at: str, x: np.ndarray, emb: np.ndarray) -> np.ndarray:
    x = halved(x) if at.endswith("_down") else doubled(x) if at.endswith("_up") else x
    skip = s.get(f"{at}.conv_skip.weight")
    if ".enc." in at:
        x = x if skip is None else conv(x, mp(skip))
        x = unit(x, 1)
    y = conv(silu(x) / 0.596, mp(s[f"{at}.conv_res0.weight"]))
    c = emb @ mp(s[f"{at}.emb_linear.weight"], float(s[f"{at}.emb_gain"])).T + 1
    y = conv(silu(y * c[:, :, None, None]) / 0.596, mp(s[f"{at}.conv_res1.weight"]))
    if ".dec." in at and skip is not None:
        x = conv(x, mp(skip))
    x = blend(x, y, 0.3)
    if f"{at}.attn_qkv.weight" in s:
        qkv = conv(x, mp(s[f"{at}.attn_qkv.weight"]))
        y = conv(attend(qkv, qkv.shape[1] // 192, True), mp(s[f"{at}.attn_proj.weight"]))
        x = blend(x, y, 0.3)
    return np.clip(x, -256, 256)


def edm2_oracle(s: State, x: np.ndarray, time: np.ndarray, labels: np.ndarray) -> np.ndarray:
    angle = np.outer(time, s["unet.emb_fourier.freqs"]) + s["unet.emb_fourier.phases"]
    emb = math.sqrt(2) * np.cos(angle) @ mp(s["unet.emb_noise.weight"]).T
    if "unet.emb_label.weight" in s:
        weight = mp(s["unet.emb_label.weight"])
        emb = blend(emb, labels * math.sqrt(weight.shape[1]) @ weight.T, 0.5)
    emb = silu(emb) / 0.596
    parts = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in s))
    x = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
    skips = []
    for at in (p for p in parts if ".enc." in p):
        x = conv(x, mp(s[f"{at}.weight"])) if at.endswith("_conv") else edm2_block(s, at, x, emb)
        skips.append(x)
    for at in (p for p in parts if ".dec." in p):
        if "_block" in at:
            y = skips.pop()
            na, nb = x.shape[1], y.shape[1]
            c = math.sqrt((na + nb) / 0.5)
            x = np.concatenate([c * 0.5 / math.sqrt(na) * x, c * 0.5 / math.sqrt(nb) * y], axis=1)
        x = edm2_block(s, at, x, emb)
    return conv(x, mp(s["unet.out_conv.weight"], float(s["unet.out_gain"])))


def tiny_edm2(classes: int) -> Edm2:
    return Edm2(8, 3, classes, 64, multipliers=(1, 2), blocks=2, attend=(4,))


def inputs(classes: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2, 3, side, side)).astype(np.float32)
    time = np.array([-0.7, 1.1], np.float32)
    return x, time, np.eye(max(classes, 3))[[2, 0]]


@pytest.mark.parametrize("classes", [0, 5])
@pytest.mark.parametrize("settled", [False, True])
def test_edm2_is_the_plain_text_of_its_formulas(classes: int, settled: bool) -> None:
    network = tiny_edm2(classes)
    state = random_state(network, 3)
    x, time, rows = inputs(classes, 8)
    wanted = edm2_oracle(state, x.astype(float), time.astype(float), rows)
    if settled:
        network.settle(torch.float32)
    labels = torch.tensor([2, 0]) if classes else None
    with torch.inference_mode():
        found = network(torch.tensor(x), torch.tensor(time), labels)
    assert np.abs(found.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_edm2_without_labels_takes_a_zero_row_and_rows_are_labels() -> None:
    network = tiny_edm2(5)
    state = random_state(network, 4)
    x, time, rows = inputs(5, 8)
    given = (torch.tensor(x), torch.tensor(time))
    with torch.inference_mode():
        none, whole = network(*given), network(*given, torch.tensor([2, 0]))
        same = network(*given, torch.tensor(rows, dtype=torch.float32))
    wanted = edm2_oracle(state, x.astype(float), time.astype(float), np.zeros((2, 5)))
    assert np.abs(none.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert torch.equal(whole, same)
    assert (none - whole).abs().max() > 0.01


def test_edm2_in_bfloat16_stays_near_and_settling_changes_little() -> None:
    network = tiny_edm2(5)
    random_state(network, 5)
    x, time, _ = inputs(5, 8)
    given = (torch.tensor(time), torch.tensor([2, 0]))
    with torch.inference_mode():
        wide = network(torch.tensor(x), *given)
        half = network(torch.tensor(x).bfloat16(), *given)
        settled = network.settle(torch.bfloat16)(torch.tensor(x).bfloat16(), *given)
    assert half.dtype == settled.dtype == torch.bfloat16
    scale = wide.abs().max()
    assert (half.float() - wide).abs().max() < 0.05 * scale
    assert (settled.float() - half.float()).abs().max() < 0.05 * scale


def group_norm(s: State, at: str, x: np.ndarray, eps: float) -> np.ndarray:
    b, c, h, w = x.shape
    groups = x.reshape(b, min(32, c // 4), -1)
    mean, var = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
    flat = ((groups - mean) / np.sqrt(var + eps)).reshape(b, c, h, w)
    return flat * s[f"{at}.weight"][:, None, None] + s[f"{at}.bias"][:, None, None]


def biased(s: State, at: str, x: np.ndarray) -> np.ndarray:
    return conv(x, s[f"{at}.weight"]) + s[f"{at}.bias"][:, None, None]


def edm_block(s: State, at: str, x: np.ndarray, emb: np.ndarray, adm: bool) -> np.ndarray:
    eps, scale = (1e-5, 1.0) if adm else (1e-6, math.sqrt(0.5))
    down, up = at.endswith("_down"), at.endswith("_up")

    def sized(t: np.ndarray) -> np.ndarray:
        return halved(t) if down else doubled(t) if up else t

    y = biased(s, f"{at}.conv0", sized(silu(group_norm(s, f"{at}.norm0", x, eps))))
    c = (emb @ s[f"{at}.affine.weight"].T + s[f"{at}.affine.bias"])[:, :, None, None]
    if adm:
        half = c.shape[1] // 2
        y = silu(group_norm(s, f"{at}.norm1", y, eps) * (1 + c[:, :half]) + c[:, half:])
    else:
        y = silu(group_norm(s, f"{at}.norm1", y + c, eps))
    y = biased(s, f"{at}.conv1", y)
    x = sized(x)
    if f"{at}.skip.weight" in s:
        x = biased(s, f"{at}.skip", x)
    x = (x + y) * scale
    if f"{at}.qkv.weight" in s:
        qkv = biased(s, f"{at}.qkv", group_norm(s, f"{at}.norm2", x, eps))
        y = attend(qkv, x.shape[1] // 64 if adm else 1, False)
        x = (x + biased(s, f"{at}.proj", y)) * scale
    return x


def biased_rows(s: State, at: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ s[f"{at}.weight"].T + s[f"{at}.bias"])


def edm_oracle(s: State, layout: Layout, x: np.ndarray, time: np.ndarray, rows: np.ndarray) -> Any:
    adm, half = layout.kind == "adm", layout.width // 2
    steps = np.arange(half) / (half if adm else half - 1)
    angle = np.outer(time, 1e-4**steps)
    order = (np.cos, np.sin) if adm else (np.sin, np.cos)
    emb = np.concatenate([f(angle) for f in order], axis=1)
    if layout.classes and not adm:  # theirs: before the layers, by sqrt(classes), with a bias
        emb = emb + biased_rows(s, "model.map_label", np.sqrt(layout.classes) * rows)
    emb = silu(biased_rows(s, "model.map_layer0", emb))
    emb = biased_rows(s, "model.map_layer1", emb)
    if layout.classes and adm:
        emb = emb + rows @ s["model.map_label.weight"].T
    emb = silu(emb)
    parts = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in s))
    skips = []
    for at in (p for p in parts if ".enc." in p):
        x = biased(s, at, x) if at.endswith("_conv") else edm_block(s, at, x, emb, adm)
        skips.append(x)
    for at in (p for p in parts if ".dec." in p and "aux" not in p):
        x = np.concatenate([x, skips.pop()], axis=1) if "_block" in at else x
        x = edm_block(s, at, x, emb, adm)
    if adm:
        return biased(s, "model.out_conv", silu(group_norm(s, "model.out_norm", x, 1e-5)))
    last = f"model.dec.{layout.resolution}x{layout.resolution}_aux"
    return biased(s, f"{last}_conv", silu(group_norm(s, f"{last}_norm", x, 1e-6)))


@pytest.mark.parametrize(
    "layout",
    [
        Layout("ddpmpp", 8, 0, 32, (2, 2), 1, (4,)),
        Layout("ddpmpp", 8, 0, 32, (1, 2), 2, (4,)),
        Layout("ddpmpp", 8, 5, 32, (1, 2), 1, (4,)),
        Layout("adm", 8, 5, 64, (1, 2), 1, (8, 4)),
        Layout("adm", 8, 0, 64, (1, 2), 2, (4,)),
    ],
)
def test_edm_is_the_plain_text_of_its_formulas(layout: Layout) -> None:
    network = Edm(layout)
    state = random_state(network, 3)
    x, time, rows = inputs(layout.classes, layout.resolution)
    wanted = edm_oracle(state, layout, x.astype(float), time.astype(float), rows)
    labels = torch.tensor([2, 0]) if layout.classes else None
    with torch.inference_mode():
        found = network(torch.tensor(x), torch.tensor(time), labels)
    assert np.abs(found.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_edm_in_bfloat16_stays_near() -> None:
    network = Edm(Layout("adm", 8, 5, 64, (1, 2), 1, (4,)))
    random_state(network, 6)
    x, time, _ = inputs(5, 8)
    given = (torch.tensor(time), torch.tensor([2, 0]))
    with torch.inference_mode():
        wide = network(torch.tensor(x), *given)
        half = network(torch.tensor(x).bfloat16(), *given)
    assert half.dtype == torch.bfloat16
    assert (half.float() - wide).abs().max() < 0.1 * wide.abs().max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own parts and of TF32
@pytest.mark.parametrize("kind", ["edm2", "edm2 settled", "ddpmpp", "adm"])
def test_float16_on_the_card_stays_near_float32_on_the_processor(kind: str) -> None:
    """EDM2 settled runs in channels_last, compiled too."""
    if kind.startswith("edm2"):
        network: Any = tiny_edm2(5)
    else:
        attend = (8, 4) if kind == "adm" else (4,)
        network = Edm(Layout(kind, 8, 5 if kind == "adm" else 0, 64, (1, 2), 1, attend))
    random_state(network, 6)
    x, time, _ = inputs(5, 8)
    given = (torch.tensor(time), None if kind == "ddpmpp" else torch.tensor([2, 0]))
    with torch.inference_mode():
        wanted = network(torch.tensor(x), *given)
    card = tuple(v if v is None else v.cuda() for v in given)
    network, half = network.cuda(), torch.tensor(x).half().cuda()
    ways = [network]
    if kind == "edm2 settled":
        half = half.contiguous(memory_format=torch.channels_last)
        ways = [network.settle(torch.float16), torch.compile(network, dynamic=False)]
    for way in ways:
        with torch.inference_mode():
            found = way(half, *card)
        assert found.dtype == torch.float16
        assert (found.float().cpu() - wanted).abs().max() < 0.02 * wanted.abs().max()
