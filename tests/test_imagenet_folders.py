"""Images of diffusers' pipelines: class-conditional DiT, unconditional LDM, Stable Diffusion."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
diffusers = pytest.importorskip("diffusers", reason=WHY)

from test_networks_diffusers import (
    CLASSES,
    TOKENS,
    WIDTH,
    dit,
    pipeline_folder,
    scheduler_of,
    text_unet,
    unet,
    vae,
)

from benchmarks.imagenet.generate import (
    Recipe,
    batch_images,
)
from benchmarks.networks.network import Network
from benchmarks.networks.profiles import given_condition
from benchmarks.networks.spec import open_network
from theory.schedules.standard import log_snr_sigmas

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def images(network: Network, **rows: Any) -> Any:
    """Four images in three steps of DDIM."""
    grid = log_snr_sigmas(3, network.sigma_max, network.sigma_min, "zero")
    recipe = Recipe("ddim", {}, grid, "philox", 4, "array", {})
    return batch_images(
        network, recipe.table(network), recipe, range(4, 8), rows or None, None, CPU
    )


def vq() -> Any:
    torch.manual_seed(0)
    return diffusers.VQModel(
        block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, latent_channels=3,
        num_vq_embeddings=16, down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",), scaling_factor=0.5,
    ).eval()  # fmt: skip


def test_unconditional_latent_diffusion(tmp_path: Path) -> None:
    """VQ's latents: decoded from latents over the scale, encoded before they are quantised."""
    net, ddim = unet(num_class_embeds=None), scheduler_of("DDIMScheduler", clip_sample=False)
    index = {"_class_name": "LDMPipeline", "_diffusers_version": "0.42"}
    for name, part in {"unet": net, "scheduler": ddim, "vqvae": vq()}.items():
        part.save_pretrained(tmp_path / name)
        index[name] = ["diffusers", type(part).__name__]  # type: ignore[assignment]
    (tmp_path / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    opened = open_network(str(tmp_path))
    assert (opened.condition, opened.classes, opened.unit_start) == (None, None, True)
    assert opened.encode is not None
    assert opened.decode is not None
    pictures = torch.rand(2, 3, 8, 8) * 2 - 1
    latents = opened.encode(pictures)
    with torch.no_grad():
        torch.testing.assert_close(latents, 0.5 * vq().encode(pictures).latents)
        torch.testing.assert_close(opened.decode(latents), vq().decode(latents / 0.5).sample)
    found = images(opened)
    assert found.shape == (4, 3, 8, 8)
    assert found.dtype == torch.uint8


def test_class_conditional_dit_with_guidance(tmp_path: Path) -> None:
    ddim = scheduler_of("DDIMScheduler", clip_sample=False)
    diffusers.DiTPipeline(dit(), vae(shift_factor=None), ddim).save_pretrained(tmp_path)
    plain, guided = open_network(str(tmp_path)), open_network(str(tmp_path), guidance=4.0)
    assert plain.classes == guided.classes == CLASSES
    assert not torch.equal(images(plain), images(guided))
    one = open_network(str(tmp_path), guidance=1.0)  # F_null + 1 (F - F_null)
    gap = images(one).int() - images(plain).int()
    assert int(gap.abs().max()) <= 1


def test_stable_diffusion_with_guidance(tmp_path: Path) -> None:
    """x0 of F_null + w (F - F_null), rows of texts by the seed."""
    folder = pipeline_folder(
        tmp_path, unet=text_unet(), scheduler=scheduler_of("DDIMScheduler", clip_sample=False),
        vae=vae(),
    )  # fmt: skip
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "config.json").write_text('{"max_position_embeddings": 77}')
    torch.manual_seed(1)
    rows, null = torch.randn(3, TOKENS, WIDTH), torch.randn(1, TOKENS, WIDTH)
    name = "encoder_hidden_states"
    guided = open_network(str(folder), guidance=7.5, null={name: null})
    plain = open_network(str(folder))
    x = 2.0 * torch.randn(2, 4, 8, 8, dtype=torch.float64)
    level = torch.tensor([0.7, 1.9], dtype=torch.float64)
    given = plain.denoiser(x, level, {name: rows[:2]})
    nothing = plain.denoiser(x, level, {name: null.expand(2, -1, -1)})
    found = guided.denoiser(x, level, {name: rows[:2]})
    torch.testing.assert_close(found, nothing + 7.5 * (given - nothing), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=rf"null_{name} must be floats of shape .* {WIDTH}\)"):
        open_network(str(folder), guidance=2.0, null={name: null[..., 1:]})
    np.savez(tmp_path / "rows.npz", **{name: rows[..., :2].numpy()})
    with pytest.raises(ValueError, match=rf"rows.npz: {name} must be floats of shape"):
        given_condition(plain, str(tmp_path / "rows.npz"))
    whole = images(guided, **{name: rows})
    single = images(guided, **{name: rows[[2]]})  # seed 5 takes row 5 mod 3
    assert torch.equal(whole[1], single[1])
    assert not torch.equal(whole[0], single[0])


@pytest.mark.parametrize("guidance", [2.0])
def test_guidance_without_what_it_needs_is_refused(tmp_path: Path, guidance: float) -> None:
    net = unet(num_class_embeds=None)
    diffusers.DDIMPipeline(net, scheduler_of("DDIMScheduler")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="guidance must come with a condition and its null"):
        open_network(str(tmp_path), guidance=guidance)


def test_networks_in_preserving_coordinates_start_with_unit_variance_more(tmp_path: Path) -> None:
    net = unet(num_class_embeds=None)
    diffusers.DDIMPipeline(net, scheduler_of("DDIMScheduler")).save_pretrained(tmp_path)
    opened = open_network(str(tmp_path))
    assert opened.start_std(3.0) == np.sqrt(10.0)
    grid = log_snr_sigmas(2, opened.sigma_max, opened.sigma_min, "zero")
    table = Recipe("ddim", {}, grid, "philox", 4, "array", {}).table(opened)
    assert float(table.start_std) == np.hypot(1.0, opened.sigma_max)
