"""Images of published networks: seeds, noise, labels, shards, pixels and latents."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")

from PIL import Image
from test_imagenet_checkpoints import official, write_official  # noqa: F401
from tiny_networks import CLASSES, SIDE, tiny_edm, tiny_edm2, write_network

from benchmarks.imagenet.generate import Recipe, batch_images, generate_images, shards_in, to_pixels
from benchmarks.imagenet.ranks import (
    Ranks,
    fitting,
    join,
)
from benchmarks.imagenet.seeds import (
    drawn,
    parse_seeds,
)
from benchmarks.imagenet.shards import (
    Shards,
    Writer,
    numbered,
)
from benchmarks.networks.network import Network
from benchmarks.networks.noise import normals
from benchmarks.networks.published.checkpoints import load_network
from benchmarks.networks.published.opened import (
    Latents,
    open_official,
)
from benchmarks.networks.spec import open_network
from theory.schedules.standard import edm_sigmas

CPU = torch.device("cpu")
GRID = edm_sigmas(5, 80.0, 0.002, "zero")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = write_network(tmp_path_factory.mktemp("net") / "edm2.safetensors", tiny_edm2())
    return open_network(path)


def recipe(**changes: Any) -> Recipe:
    given = {"solver": "stochastic_ddim", "options": {}, "sigmas": GRID, "noise": "philox"}
    return Recipe(**(given | {"batch": 4, "images": "array", "more": {}} | changes))


def make(network: Network, folder: Path, seeds: str, **changes: Any) -> dict[int, Any]:
    """Images by their seeds, made where they are missing."""
    wanted = parse_seeds(seeds)
    generate_images(network, recipe(**changes), wanted, folder, join("cpu"))
    return dict(numbered(shards_in(folder)[0], wanted))


@pytest.mark.parametrize("noise", ["philox", "edm2"])
def test_an_image_depends_on_its_seed_and_not_on_the_range(
    network: Network, tmp_path: Path, noise: str
) -> None:
    whole = make(network, tmp_path / "a", "0-13", noise=noise)
    part = make(network, tmp_path / "b", "6-9", noise=noise)
    assert sorted(whole) == list(range(14))
    assert sorted(part) == [6, 7, 8, 9]
    assert all(np.array_equal(part[s], whole[s]) for s in part)
    pixels = np.stack(list(whole.values()))
    assert pixels.shape[1:] == (3, SIDE, SIDE)
    assert all(not np.array_equal(pixels[0], other) for other in pixels[1:])


def test_what_is_there_is_not_made_again(network: Network, tmp_path: Path) -> None:
    assert generate_images(network, recipe(), range(8), tmp_path, join("cpu")) == 2
    first = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    (tmp_path / "images" / ".00000001.npy.77.part").write_bytes(b"begun")
    assert generate_images(network, recipe(), range(11), tmp_path, join("cpu")) == 1
    found = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    assert sorted(found) == ["00000000.npy", "00000001.npy", "00000002.npy"]
    assert {name: found[name] for name in first} == first


def test_ranks_share_the_batches(network: Network, tmp_path: Path) -> None:
    """Two ranks one after the other make together what one makes alone."""
    alone = make(network, tmp_path / "one", "0-19")
    for rank in (0, 1):
        share = Ranks(rank, 2, CPU)
        shards = Shards(tmp_path / "two", 4, "array")
        shards.clear_parts()
        for k in share.mine(shards.batches(range(20))):
            images = batch_images(
                network, recipe().table(network), recipe(), shards.seeds(k), None, None, CPU
            )
            shards.write(k, images.numpy())
    assert shards.missing(range(20)) == []
    assert all(np.array_equal(x, alone[s]) for s, x in numbered(shards, range(20)))


def test_png_and_arrays_hold_the_same_images(network: Network, tmp_path: Path) -> None:
    arrays = make(network, tmp_path / "a", "0-5")
    pngs = make(network, tmp_path / "p", "0-5", images="png")
    assert all(np.array_equal(arrays[s], pngs[s]) for s in range(6))
    with zipfile.ZipFile(tmp_path / "p" / "images" / "00000001.zip") as archive:
        assert archive.namelist() == [f"000000/{s:06d}.png" for s in range(4, 8)]
        with Image.open(io.BytesIO(archive.read("000000/000005.png"))) as image:
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), arrays[5])
    first = (tmp_path / "p" / "images" / "00000001.zip").read_bytes()
    make(network, tmp_path / "q", "0-5", images="png")
    assert (tmp_path / "q" / "images" / "00000001.zip").read_bytes() == first


def test_the_authors_generators_draw_start_label_and_steps_in_this_order() -> None:
    draw, labels = drawn("edm2", range(5, 8), (3, 2, 2), 1000, CPU, torch.float64)
    steps = draw(0), draw(3), draw(4)
    assert labels is not None
    for i, seed in enumerate((5, 6, 7)):
        theirs = torch.Generator().manual_seed(seed)
        assert torch.equal(steps[0][i], torch.randn(3, 2, 2, generator=theirs).double())
        assert int(labels[i]) == int(torch.randint(1000, (), generator=theirs))
        for found in steps[1:]:
            want = torch.randn(3, 2, 2, generator=theirs, dtype=torch.float64)
            assert torch.equal(found[i], want)


def test_seeds_of_the_authors_count_modulo_2_to_the_32() -> None:
    high, _ = drawn("edm2", range(2**32 + 3, 2**32 + 5), (2,), None, CPU, torch.float32)
    low, labels = drawn("edm2", range(3, 5), (2,), None, CPU, torch.float32)
    assert torch.equal(high(0), low(0))
    assert labels is None


def test_philox_noise_and_labels_belong_to_the_seed() -> None:
    draw, labels = drawn("philox", range(100, 164), (3, 4, 4), 1000, CPU, torch.float64)
    one, label = drawn("philox", range(131, 132), (3, 4, 4), 1000, CPU, torch.float64)
    assert labels is not None
    assert label is not None
    assert torch.equal(draw(0)[31], one(0)[0])
    assert torch.equal(draw(7)[31], normals(0, torch.tensor([131]), 7, (3, 4, 4))[0])
    assert int(labels[31]) == int(label[0])


def test_labels_are_uniform() -> None:
    _, labels = drawn("philox", range(20_000), (1,), 40, CPU, torch.float32)
    assert labels is not None
    counts = np.bincount(labels.numpy(), minlength=40)
    assert counts.size == 40
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-49999", range(50_000)), ("7", range(7, 8)), ("3-3", range(3, 4))]
)
def test_seeds_are_read(text: str, seeds: range) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "-", "5-", "-5", "9-3", "a-b", "1-2-3", "²-3", "0-2000000000000"]
)
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="seeds must") as error:
        parse_seeds(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"noise": "edm2"}, "noise"), ({"batch": 2}, "batch"), ({"solver": "ddim"}, "solver"),
        ({"sigmas": GRID[1:]}, "sigmas"), ({"images": "png"}, "images"),
        ({"more": {"precision": "bfloat16"}}, "precision"),
    ],
)  # fmt: skip
def test_a_folder_takes_no_images_of_another_run(
    network: Network, tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    generate_images(network, recipe(), range(4), tmp_path, join("cpu"))
    with pytest.raises(ValueError, match=f"must belong to this run, got {name}") as error:
        generate_images(network, recipe(**changes), range(4), tmp_path, join("cpu"))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


@pytest.mark.parametrize("key", ["[]", "{}", '{"batch": 0, "images": "png", "weights": "x"}'])
def test_a_folder_that_says_nothing_of_its_images_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "run.json").write_text(f'{{"kind": "images", "key": {key}}}')
    with pytest.raises(ValueError, match=r"run\.json: (key|batch) must"):
        shards_in(tmp_path)


def test_bytes_by_the_authors_rule(network: Network) -> None:
    """trunc(clip(127.5 x + 128, 0, 255)), in float64 and on both sides of every step of a byte."""
    x = torch.linspace(-1.2, 1.2, 4801, dtype=torch.float64)
    want = np.floor(np.clip(127.5 * x.numpy() + 128.0, 0.0, 255.0))
    found = to_pixels(network, x.reshape(1, 1, 1, -1)).flatten().numpy()
    assert np.array_equal(found, want.astype(np.uint8))
    assert found[0] == 0
    assert found[-1] == 255


def test_a_shard_that_does_not_hold_its_batch_is_refused(tmp_path: Path) -> None:
    shards = Shards(tmp_path, 4, "array")
    np.save(shards.path(0), np.zeros((3, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="a shard must hold 4 images, got uint8 of shape"):
        shards.read(0)


def test_images_of_a_zip_come_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    """Around a million, where sorting by name gives another order."""
    shards, k = Shards(tmp_path, 7, "png"), 10**6 // 7
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 3, 3), dtype=np.uint8)
    shards.write(k, pixels)
    found = dict(numbered(shards, range(10**6 - 1, 10**6 + 3)))
    assert list(found) == list(range(10**6 - 1, 10**6 + 3))
    assert all(np.array_equal(found[s], pixels[s - 7 * k]) for s in found)
    shards.path(k).write_bytes(b"PK")
    with pytest.raises(ValueError, match="a shard must hold 7 PNG images, got") as error:
        shards.read(k)
    assert "\n" not in str(error.value)


def test_what_the_writer_meets_is_raised(tmp_path: Path) -> None:
    writer = Writer(Shards(tmp_path / "nowhere", 1, "array"))
    writer.put(0, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"nowhere.*00000000.npy: the file must be writable"):
        writer.close()


def test_a_batch_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(ValueError, match="batch must fit the card's memory, got 7"), fitting(7):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_authors_rules_of_precision_and_states(tmp_path: Path, network: Network) -> None:
    edm = open_official(write_network(tmp_path / "edm.safetensors", tiny_edm()), CPU)
    assert (edm.dtype, edm.classes, edm.condition) == (torch.float64, None, None)
    assert (network.dtype, network.classes) == (torch.float32, CLASSES)
    assert edm.shape == (3, SIDE, SIDE)
    assert (network.sigma_min, network.sigma_max) == (0.002, 80.0)


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("protocol", [2, 4])
def test_an_official_pickle_opens_as_the_same_denoiser(tmp_path: Path, protocol: int) -> None:
    half = tiny_edm2().half()
    write_official(tmp_path / "edm2.pkl", half, protocol)
    write_network(tmp_path / "edm2.safetensors", half)
    torch.save(half.state_dict(), tmp_path / "edm2.pt")
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    given = x, torch.tensor([0.4, 5.0], dtype=torch.float64), {"class_labels": torch.tensor([1, 3])}
    answers = []
    for name in ("edm2.pkl", "edm2.safetensors", "edm2.pt"):
        opened = open_network(str(tmp_path / name))
        assert (opened.shape, opened.classes) == ((3, SIDE, SIDE), CLASSES)
        answers.append(opened.denoiser(*given))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_the_opened_network_is_the_denoiser_of_its_file(network: Network) -> None:
    """c_skip x + c_out F(c_in x, log(sigma) / 4), by the plain network."""
    plain = load_network(network.spec)
    x = 3.0 * torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    sigma, labels = torch.tensor([0.3, 2.0], dtype=torch.float64), torch.tensor([0, 4])
    found = network.denoiser(x, sigma, {"class_labels": labels})
    s = sigma.float()[:, None, None, None]
    f = plain(x / (s**2 + 0.25).sqrt(), sigma.float().log() / 4, labels)
    want = 0.25 / (s**2 + 0.25) * x + 0.5 * s / (s**2 + 0.25).sqrt() * f
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)


class Affine(torch.nn.Module):
    """An autoencoder by the same interface: decodes a latent's channels to 8 x 8 pixels each."""

    def encode(self, images: Any) -> Any:  # noqa: D102
        assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0
        mean = 10.0 * torch.nn.functional.avg_pool2d(images, 8)
        mean = torch.cat([mean, mean[:, :1]], dim=1)
        law = type("Law", (), {"mean": mean, "std": torch.full_like(mean, 0.25)})
        return type("Encoded", (), {"latent_dist": law})

    def decode(self, raw: Any) -> Any:  # noqa: D102
        big = torch.nn.functional.interpolate(raw[:, :3] / 10.0, scale_factor=8)
        return type("Decoded", (), {"sample": big})


def test_latents_are_scaled_as_published() -> None:
    """(raw - mean) 0.5 / std, noise with the encoder's std; bytes by truncation."""
    latents = Latents(Affine())
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    found = latents.encode(images)
    again = torch.cat([latents.encode(images[i : i + 1]) for i in range(3)])
    assert torch.equal(found, again)  # every image has noise of its own
    centre, spread = torch.tensor([[5.81, 3.25, 0.12, -2.15], [4.17, 4.62, 3.71, 3.28]])
    raw = found * spread[:, None, None] / 0.5 + centre[:, None, None]
    mean = Affine().encode((images + 1) / 2).latent_dist.mean
    z = (raw - mean) / 0.25
    assert float(z.abs().max()) < 4.5
    assert 0.5 < float(z.std()) < 1.5
    split = torch.cat([mean, torch.full_like(mean, 0.25)], dim=1)
    assert latents.encode(split).shape == found.shape
    flat = (torch.tensor([0.2, 0.5, 0.999, 0.0]) * 10.0 - centre) * 0.5 / spread
    pixels = latents.pixels(flat[None, :, None, None])
    assert pixels.dtype == torch.uint8
    assert pixels[0, :, 3, 3].tolist() in ([51, 127, 254], [50, 127, 254])


def test_latents_without_an_autoencoder_make_no_images(tmp_path: Path) -> None:
    path = write_network(tmp_path / "latents.safetensors", tiny_edm2(channels=4))
    opened = open_network(path)
    with pytest.raises(ValueError, match="give vae"):
        generate_images(opened, recipe(), range(4), tmp_path / "out", join("cpu"))
    with pytest.raises(ValueError, match="vae must come with a network of latents"):
        open_network(write_network(tmp_path / "n.safetensors", tiny_edm2()), vae="folder")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("noise", ["philox", "edm2"])
def test_on_a_card_runs_repeat_to_the_byte_and_stay_near_the_cpu(
    tmp_path: Path, noise: str
) -> None:
    """In float16 with states in float32; from the same noise as the CPU by Philox."""
    path = write_network(tmp_path / "edm2.safetensors", tiny_edm2())
    ranks = join("cuda")
    opened = open_network(path, "cuda")
    made = []
    for folder in ("a", "b"):
        generate_images(opened, recipe(noise=noise), range(12), tmp_path / folder, ranks)
        shards, about = shards_in(tmp_path / folder)
        assert about["key"]["device"] == "cuda"
        made.append(np.stack([x for _, x in numbered(shards, range(12))]))
    assert np.array_equal(made[0], made[1])
    if noise == "philox":
        on_cpu = make(open_network(path), tmp_path / "cpu", "0-11")
        gap = np.abs(made[0].astype(int) - np.stack(list(on_cpu.values())).astype(int))
        assert np.quantile(gap, 0.99) <= 2
    draw, labels = drawn(noise, range(3), (3, 4, 4), 10, ranks.device, torch.float32)
    assert draw(0).is_cuda
    assert labels is not None
    assert labels.is_cuda
