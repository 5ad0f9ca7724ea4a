"""Checkpoints: what is written is read, bit for bit, and everything else is refused in one line."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("safetensors", reason=WHY)

from safetensors.torch import save_file

from benchmarks.networks.adapters import Predictor
from benchmarks.networks.checkpoint import (
    FILE,
    read_checkpoint,
    write_checkpoint,
)
from benchmarks.networks.small import build_network

ARCH: dict[str, Any] = {"name": "unet", "channels": 1, "width": 8, "multipliers": [1, 2]}
ABOUT: dict[str, Any] = {
    "format": "entropic network 1",
    "arch": ARCH,
    "target": "edm",
    "sigma_data": 0.75,
    "shape": [1, 8, 8],
    "facts": {},
}


def trained() -> Any:
    """A network with weights that no initialisation gives."""
    network = build_network(ARCH)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def write(path: Path, about: Any = ABOUT, **tensors: Any) -> Path:
    """A file with anything in its description and anything among its tensors."""
    weights = {k: v.contiguous() for k, v in trained().state_dict().items()} | tensors
    kept = {k: v for k, v in weights.items() if v is not None}
    text = about if isinstance(about, str) else json.dumps(about)
    save_file(kept, path, metadata={"entropic": text})
    return path


def test_a_checkpoint_gives_the_same_denoiser_to_the_bit(tmp_path: Path) -> None:
    network, x = trained(), torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(6))
    sigma = torch.tensor([0.01, 0.5, 30.0], dtype=torch.float64)
    expected = Predictor(network, "edm", sigma_data=0.75)(x, sigma)
    write_checkpoint(tmp_path / FILE, network, ARCH, 0.75, (1, 8, 8), {"seed": 3})
    for place in (tmp_path, tmp_path / FILE, str(tmp_path)):
        denoiser, about = read_checkpoint(place)
        assert torch.equal(denoiser(x, sigma), expected)
        assert about["arch"] == ARCH
        assert about["shape"] == (1, 8, 8)
        assert (about["sigma_data"], about["facts"]) == (0.75, {"seed": 3})
    assert [p.name for p in tmp_path.iterdir()] == [FILE]  # nothing half-written is left


def test_the_bytes_do_not_depend_on_when_they_are_written(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_checkpoint(tmp_path / name, trained(), ARCH, 0.75, (1, 8, 8))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE
    write_checkpoint(path, trained(), ARCH, 0.75, (1, 8, 8))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("theory.writing.os.fsync", full)
    with pytest.raises(ValueError, match=r"the file must be writable, got No space left") as error:
        write_checkpoint(path, build_network(ARCH), ARCH, 0.75, (1, 8, 8))
    assert str(error.value).startswith(str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "entropic network 2"}, "format must be 'entropic network 1'"),
        ({"arch": {"name": "os.system"}}, "network must be one of mlp, unet, got 'os.system'"),
        ({"arch": {}}, "network must be one of"),
        ({"arch": ARCH | {"command": 1}}, "option of unet must be one of .*, got 'command'"),
        ({"arch": ARCH | {"blocks": 10**9}}, "blocks must be a whole number in 1..64"),
        (
            {"arch": ARCH | {"width": 4096, "multipliers": [64] * 8, "blocks": 4}},
            "network must have at most 1000000000 weights, got more",
        ),
        ({"arch": ARCH | {"width": 16}}, r"tensor \S+ must be \(16,\).*, got \(8,\)"),
        ({"arch": "unet"}, "arch must be of kind dict, got 'unet'"),
        ({"sigma_data": -1.0}, "sigma_data must be positive, got -1"),
        ({"sigma_data": None}, "sigma_data must be of kind float, got None"),
        ({"shape": [1, 0]}, "shape must be a whole number at least 1, got 0"),
        ({"target": "eps"}, "target must be 'edm', got 'eps'"),
        ({"more": 1}, "metadata must have the keys"),
    ],
)
def test_descriptions_other_than_ours_are_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    refuse(write(tmp_path / FILE, ABOUT | change), words)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"last.bias": None}, "the file must hold the tensor 'last.bias'"),
        ({"extra": torch.zeros(1)}, "the file must not hold the tensor 'extra'"),
        ({"last.bias": torch.zeros(2)}, r"tensor last.bias must be \(1,\).*, got \(2,\)"),
        ({"last.bias": torch.zeros(1).half()}, "tensor last.bias must be .*, got .*float16"),
        ({"last.bias": torch.full((1,), torch.nan)}, "tensor last.bias must be finite"),
    ],
)
def test_tensors_other_than_the_networks_are_refused(
    tmp_path: Path, tensors: dict[str, Any], words: str
) -> None:
    refuse(write(tmp_path / FILE, **tensors), words)


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / FILE).read_bytes()
    hurt = tmp_path / "hurt"
    for content in (b"", b"{}", whole[:-1], whole[:100], b"\xff" * 100, pickle.dumps([1])):
        hurt.write_bytes(content)
        refuse(hurt, "the file must be whole safetensors")
    refuse(write(hurt, "{"), "metadata must be valid JSON")
    refuse(write(hurt, "[" * 10**5), "metadata must be valid JSON")
    refuse(write(hurt, "[]"), "metadata must have the keys .*, got list")
    save_file({"a": torch.zeros(1)}, hurt)
    refuse(hurt, "the file must have metadata 'entropic', got none")
    refuse(tmp_path / "none", "the file must be readable")
    empty = tmp_path / "folder"
    empty.mkdir()
    refuse(empty / FILE, "the file must be readable", empty)


def refuse(path: Path, words: str, given: Path | None = None) -> None:
    with pytest.raises(ValueError, match=words) as error:
        read_checkpoint(given or path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
