"""Features for scores: Inception by TorchScript, DINOv2 by transformers."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")
transformers = pytest.importorskip(
    "transformers", reason="needs the extra `imagenet`; make test-all has it"
)

from stand_ins import Plain, StandIn, script, write_dino, write_inception

from benchmarks.imagenet.dino import (
    MEAN,
    STD,
    hub_positions,
    load_dino,
)
from benchmarks.imagenet.inception import load_inception


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inception(tmp_path_factory.mktemp("inception") / "net.pt")


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dino(tmp_path_factory.mktemp("dino"))


def pictures(n: int = 3, channels: int = 3, side: int = 20) -> Any:
    made = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (n, channels, side, side), generator=made, dtype=torch.uint8)


def test_inception_answers_with_features_probabilities_and_spatial(inception_file: Path) -> None:
    net = load_inception(inception_file, trust=True)
    assert net.missing == {}
    found = net(pictures())
    assert {k: tuple(v.shape) for k, v in found.items()} == {
        "inception": (3, 32), "probabilities": (3, 10), "spatial": (3, 7 * 17 * 17),
    }  # fmt: skip
    torch.manual_seed(7)
    plain = StandIn(32, 10).eval()
    with torch.no_grad():
        torch.testing.assert_close(found["inception"], plain(pictures(), return_features=True))
        want = (found["inception"] @ plain.output.weight.T).softmax(1)
        torch.testing.assert_close(found["probabilities"], want)


def test_spatial_features_are_the_first_convolution_of_mixed_6(inception_file: Path) -> None:
    """By hooks on the plain module, which the file cannot have."""
    torch.manual_seed(7)
    plain, seen = StandIn(32, 10).eval(), []
    plain.layers.mixed_6.conv.register_forward_hook(lambda m, x, y: seen.append(y))
    with torch.no_grad():
        plain(pictures(), return_features=True)
    found = load_inception(inception_file, trust=True)(pictures())["spatial"]
    torch.testing.assert_close(found, seen[0][:, :7].flatten(1), rtol=1e-4, atol=1e-4)


def test_grey_images_are_repeated(inception_file: Path, dino_folder: Path) -> None:
    grey = pictures(channels=1)
    for net in (load_inception(inception_file, trust=True), load_dino(dino_folder)):
        for name, found in net(grey).items():
            assert torch.equal(found, net(grey.repeat(1, 3, 1, 1))[name])


def test_an_image_has_the_same_features_in_any_batch(
    inception_file: Path, dino_folder: Path
) -> None:
    for net in (load_inception(inception_file, trust=True), load_dino(dino_folder)):
        whole, one = net(pictures(4)), net(pictures(4)[2:3])
        for name, found in whole.items():
            torch.testing.assert_close(found[2:3], one[name], rtol=1e-4, atol=1e-5)


def test_torchscript_runs_only_when_it_is_trusted_or_known(inception_file: Path) -> None:
    with pytest.raises(ValueError, match="must come with inception_sha256 or trust") as error:
        load_inception(inception_file)
    assert str(error.value).startswith(str(inception_file))
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    assert load_inception(inception_file, sha256=digest.upper()).missing == {}
    with pytest.raises(ValueError, match=f"has SHA-256 {digest}, not 00"):
        load_inception(inception_file, sha256="00", trust=True)


def test_what_a_file_does_not_offer_is_missing_with_a_reason(tmp_path: Path) -> None:
    net = load_inception(script(tmp_path / "plain.pt", Plain()), trust=True)
    assert list(net(pictures())) == ["inception"]
    assert "no_output_bias" in net.missing["probabilities"]
    assert "has no mixed_6" in net.missing["spatial"]
    assert all("\n" not in reason for reason in net.missing.values())


def test_layers_that_do_not_repeat_the_features_are_not_used(tmp_path: Path) -> None:
    class Other(StandIn):
        def forward(
            self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False,
            no_output_bias: bool = False,
        ) -> torch.Tensor:  # fmt: skip
            x = torch.nn.functional.interpolate(img.float() / 255.0, (299, 299))
            return self.layers(x).flatten(1)

    net = load_inception(script(tmp_path / "other.pt", Other(32, 10)), trust=True)
    assert net.missing["spatial"] == "the Inception file's layers do not repeat its features"
    assert net.missing["probabilities"] == "the Inception file's do not sum to 1"


@pytest.mark.parametrize("fault", ["text", "cut", "empty", "absent", "nan"])
def test_files_that_are_no_inception_are_refused_in_one_line(
    tmp_path: Path, inception_file: Path, fault: str
) -> None:
    path, whole = tmp_path / "net.pt", inception_file.read_bytes()
    if fault == "nan":
        broken = StandIn(4, 3)
        broken.layers.mixed.bias.data.fill_(float("nan"))
        script(path, broken)
    elif fault != "absent":
        path.write_bytes({"text": b"hello", "cut": whole[: len(whole) // 2], "empty": b""}[fault])
    with pytest.raises(ValueError, match=r"the (file|network) must") as error:
        load_inception(path, trust=True)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [torch.zeros(2, 3, 4, 4), torch.zeros(2, 2, 4, 4).byte()])
def test_images_must_be_bytes_of_one_or_three_channels(inception_file: Path, bad: Any) -> None:
    with pytest.raises(ValueError, match=r"images must be bytes of shape \(B, 1 or 3, h, w\)"):
        load_inception(inception_file, trust=True)(bad)


def keys(t: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel with a = -0.75."""
    t, a = np.abs(t), -0.75
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.asarray(np.where(t <= 1, near, np.where(t < 2, far, 0.0)))


def bicubic(grid: np.ndarray, n: int, scale: float) -> np.ndarray:
    """Values (n, n, d) of an m x m grid, samples at (i + 0.5) / scale - 0.5, edges repeated."""
    m = len(grid)
    at = (np.arange(n) + 0.5) / scale - 0.5
    matrix = np.zeros((n, m))
    for i, x in enumerate(at):
        for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
            matrix[i, np.clip(j, 0, m - 1)] += keys(np.array(x - j))
    return np.asarray(np.einsum("ia,jb,abd->ijd", matrix, matrix, grid))


@pytest.mark.parametrize("m", [37, 5, 20])
def test_hub_positions_are_bicubic_at_the_hubs_scale(m: int) -> None:
    torch.manual_seed(0)
    trained = torch.randn(1, 1 + m * m, 6)
    found = hub_positions(trained, 16)
    want = bicubic(trained[0, 1:].reshape(m, m, 6).double().numpy(), 16, 16.1 / m)
    assert torch.equal(found[:, 0], trained[:, 0])
    np.testing.assert_allclose(found[0, 1:].reshape(16, 16, 6).numpy(), want, atol=2e-5)
    other = bicubic(trained[0, 1:].reshape(m, m, 6).double().numpy(), 16, 16.0 / m)
    assert np.abs(want - other).max() > 0.01


def test_a_grid_of_the_right_size_stays() -> None:
    trained = torch.randn(1, 257, 4)
    assert hub_positions(trained, 16) is trained


def test_dino_is_the_class_token_of_the_model_with_those_positions(dino_folder: Path) -> None:
    """By the library's own forward pass on images resized and normalised here."""
    x = torch.nn.functional.interpolate(
        pictures().float(), (224, 224), mode="bicubic", antialias=True, align_corners=False
    )
    x = torch.stack(
        [(x[:, c] / 255 - MEAN[c]) / STD[c] for c in range(3)], dim=1
    )  # channel by channel
    model = transformers.Dinov2Model.from_pretrained(dino_folder).eval()
    with torch.no_grad():
        theirs = model(pixel_values=x).pooler_output
        torch.testing.assert_close(
            load_dino(dino_folder, positions="transformers")(pictures())["dinov2"], theirs,
            rtol=1e-4, atol=1e-5,
        )  # fmt: skip
        trained = model.embeddings.position_embeddings.data
        square = trained[0, 1:].reshape(5, 5, -1).double().numpy()
        rows = torch.from_numpy(bicubic(square, 16, 16.1 / 5)).float().reshape(1, 256, -1)
        fixed = torch.cat([trained[:, :1], rows], dim=1)
        model.embeddings.position_embeddings = torch.nn.Parameter(fixed)
        hub = model(pixel_values=x).pooler_output
    found = load_dino(dino_folder)(pictures())["dinov2"]
    torch.testing.assert_close(found, hub, rtol=1e-4, atol=1e-5)
    assert float((hub - theirs).abs().max()) > 1e-4


FAULTS = {
    "no config": "config.json: the file must be readable",
    "other model": "config.json must be of model_type dinov2",
    "no weights": "weights must be in model.safetensors",
    "missing weights": "weights must be those of config.json, got missing keys",
    "cut": "the folder must hold a Dinov2 that loads",
    "other patch": "patch_size must be a divisor of 224",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_spoilt_folders_are_refused_in_one_line(
    dino_folder: Path, tmp_path: Path, fault: str
) -> None:
    place = Path(shutil.copytree(dino_folder, tmp_path / "dino"))
    config, weights = place / "config.json", place / "model.safetensors"
    fields = json.loads(config.read_text())
    if fault == "no config":
        config.unlink()
    elif fault == "other model":
        config.write_text(json.dumps(fields | {"model_type": "vit"}))
    elif fault == "no weights":
        weights.rename(place / "pytorch_model.bin")
    elif fault == "missing weights":
        config.write_text(json.dumps(fields | {"num_hidden_layers": 3}))
    elif fault == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        shutil.rmtree(place)
        write = transformers.Dinov2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=45, patch_size=15
        )
        transformers.Dinov2Model(write).save_pretrained(place)
    with pytest.raises(ValueError, match=FAULTS[fault]) as error:
        load_dino(place)
    assert str(error.value).startswith(str(place))
    assert "\n" not in str(error.value)


def test_other_positions_are_refused(dino_folder: Path) -> None:
    with pytest.raises(ValueError, match="dino_positions must be one of hub, transformers"):
        load_dino(dino_folder, positions="timm")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_on_a_card_are_those_of_the_cpu(inception_file: Path, dino_folder: Path) -> None:
    for load in (lambda d: load_inception(inception_file, trust=True, device=d),
                 lambda d: load_dino(dino_folder, device=d)):  # fmt: skip
        on_card, on_cpu = load("cuda")(pictures().cuda()), load("cpu")(pictures())
        assert on_card.keys() == on_cpu.keys()
        for name, rows in on_cpu.items():
            torch.testing.assert_close(on_card[name].cpu(), rows, rtol=1e-3, atol=1e-3)
