"""Official pickles, safetensors and state dicts; hostile, mutated and truncated files."""

import contextlib
import io
import pickle
import resource
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")

from benchmarks.networks.published.checkpoints import (
    load_network,
    read_tensors,
)
from benchmarks.networks.published.edm import (
    Edm,
    Layout,
)
from benchmarks.networks.published.edm2 import Edm2
from benchmarks.networks.published.layouts import network_of

NAMES = {"Edm": "EDMPrecond", "Edm2": "Precond"}  # of the classes in the official files


class EasyDict(dict):
    """A stand-in for `dnnlib.util.EasyDict`, under whose name it is pickled."""


class Persistent:
    """Pickled as the official classes are: a call with one table, the source inside."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.meta = {
            **{"type": "class", "version": 6, "module_src": "raise SystemExit", "state": state},
            "class_name": class_name,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("must not be called")


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the names that official files use, for the pickler's own check."""
    for name in ("dnnlib", "dnnlib.util", "torch_utils", "torch_utils.persistence"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    monkeypatch.setattr(sys.modules["dnnlib.util"], "EasyDict", EasyDict, raising=False)
    made = _reconstruct_persistent_obj
    made.__module__ = "torch_utils.persistence"
    monkeypatch.setattr(sys.modules["torch_utils.persistence"], made.__name__, made, raising=False)


def module_state(network: Any) -> dict[str, Any]:
    """A module's own state as the official files keep it, float16, modules inside persistent."""
    state = dict(network.__dict__)
    for kind in ("_parameters", "_buffers"):
        state[kind] = OrderedDict(
            (k, None if v is None else v.detach().half()) for k, v in state[kind].items()
        )
    state["_modules"] = OrderedDict((k, v and wrapped(v)) for k, v in state["_modules"].items())
    state = {k: v for k, v in state.items() if k.startswith("_")}
    return state | {"_init_kwargs": EasyDict(width=64), "sigma": np.float64(0.5)}


def wrapped(network: Any) -> Any:
    """A module as it is pickled: plain torch containers by themselves, all else persistent."""
    state = module_state(network)
    if isinstance(network, torch.nn.ModuleDict):
        plain = torch.nn.ModuleDict()
        plain.__dict__["_modules"] = state["_modules"]
        return plain
    return Persistent(NAMES.get(type(network).__name__, type(network).__name__), state)


def tiny() -> Edm2:
    torch.manual_seed(0)
    network = Edm2(8, 3, 5, 64, multipliers=(1, 2), blocks=1, attend=(4,))
    return network.half()


def write_official(path: Path, network: Any, protocol: int = 4) -> dict[str, Any]:
    state = {k: v.clone() for k, v in network.state_dict().items()}
    content = EasyDict(
        ema=wrapped(network),
        encoder=Persistent("StandardRGBEncoder", {"_init_kwargs": {}}),
        dataset_kwargs=EasyDict(path="x.zip", mean=np.arange(4.0, dtype=np.float32)),
        loss_fn=None,
    )
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return state


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_official_pickles_load_bit_equal(tmp_path: Path, protocol: int) -> None:
    state = write_official(tmp_path / "net.pkl", tiny(), protocol)
    found = load_network(tmp_path / "net.pkl")
    assert isinstance(found, Edm2)
    loaded = found.state_dict()
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        assert loaded[name].dtype == torch.float16
        assert torch.equal(loaded[name], value)


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("name", ["VPPrecond", "VEPrecond", "iDDPMPrecond"])
def test_other_preconditioning_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The tensors of such files have the same names and shapes."""
    layout = Layout("ddpmpp", 8, 0, 32, (2, 2), 1, (4,))
    monkeypatch.setitem(NAMES, "Edm", name)
    write_official(tmp_path / "net.pkl", Edm(layout).half())
    with pytest.raises(ValueError, match=f"got one that is a {name}, whose preconditioning is not"):
        load_network(tmp_path / "net.pkl")


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("spread", [1.0, "0.5", None])
def test_another_spread_of_the_data_is_refused(tmp_path: Path, spread: object) -> None:
    network = Edm(Layout("ddpmpp", 8, 0, 32, (2, 2), 1, (4,))).half()
    record = wrapped(network)
    record.meta["state"]["sigma_data"] = spread
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(EasyDict(ema=record), protocol=4))
    with pytest.raises(ValueError, match=f"got one that has sigma_data {spread!r}, not 0.5"):
        load_network(tmp_path / "net.pkl")
    record.meta["state"]["sigma_data"] = 0.5
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(EasyDict(ema=record), protocol=4))
    assert isinstance(load_network(tmp_path / "net.pkl"), Edm)


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("layout", [
    Layout("ddpmpp", 8, 0, 32, (2, 2), 1, (4,)), Layout("ddpmpp", 8, 5, 32, (2, 2), 1, (4,)),
    Layout("adm", 8, 5, 64, (1, 2), 1, (8, 4)),
])  # fmt: skip
def test_edm_pickles_load_bit_equal(tmp_path: Path, layout: Layout) -> None:
    state = write_official(tmp_path / "net.pkl", Edm(layout).half())
    found = load_network(tmp_path / "net.pkl")
    assert isinstance(found, Edm)
    assert found.model.layout == layout
    assert all(torch.equal(found.state_dict()[name], value) for name, value in state.items())


def test_safetensors_and_state_dicts_load_too(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = {k: v.clone() for k, v in tiny().state_dict().items()}
    safetensors.save_file(state, tmp_path / "a")
    torch.save(state, tmp_path / "b")
    for name in "ab":
        found = load_network(tmp_path / name).state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.usefixtures("official")
def test_a_digest_is_checked_first(tmp_path: Path) -> None:
    import hashlib

    write_official(tmp_path / "net.pkl", tiny())
    right = hashlib.sha256((tmp_path / "net.pkl").read_bytes()).hexdigest()
    load_network(tmp_path / "net.pkl", right.upper())
    with pytest.raises(ValueError, match=f"SHA-256 {right}, not 00"):
        load_network(tmp_path / "net.pkl", "00")


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """Limit memory to what is used now plus twice that size and 200 MiB."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * size + (200 << 20), old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def calls(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle that calls a function with plain arguments."""
    body = pickle.dumps(arguments, protocol=2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + body + b"R."


def rebuilt(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A tensor of any size over a storage of two numbers."""
    made = io.BytesIO()
    torch.save(
        torch.zeros(2, dtype=torch.float16)._typed_storage(),
        made,
        _use_new_zipfile_serialization=False,
    )
    load = b"ctorch.storage\n_load_from_bytes\n" + pickle.dumps((made.getvalue(),), 2)[2:-1] + b"R"
    parts = b"".join(pickle.dumps(v, 2)[2:-1] for v in (offset, size, stride, False))
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + load + parts + b"tR."


BYTE = "torch.storage", "_load_from_bytes"
HOSTILE: dict[str, tuple[bytes, str]] = {
    f"{module}.{name}": (calls(module, name, "true"), f"{module}.{name}")
    for module, name in [
        ("os", "system"), ("posix", "system"), ("subprocess", "Popen"), ("builtins", "eval"),
        ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "__import__"),
        ("importlib", "import_module"), ("runpy", "run_path"), ("pickle", "loads"),
        ("torch", "load"), ("torch.hub", "load"), ("numpy", "load"), ("numpy.f2py", "compile"),
        ("operator", "attrgetter"), ("functools", "partial"), ("webbrowser", "open"),
        ("shutil", "rmtree"), ("torch._utils", "_rebuild_tensor"), ("timeit", "timeit"),
        ("dnnlib.util", "open_url"), ("torch_utils.persistence", "_src_to_module"),
    ]
}  # fmt: skip
HOSTILE |= {
    "payload inside a storage": (
        calls(*BYTE, calls("os", "system", "true")), "os.system",
    ),
    "stack global": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system"),
    "two lines": (b"\x80\x04\x8c\x03a\nb\x8c\x06system\x93.", "a b.system"),
    "instance": (b"(S'true'\nios\nsystem\n.", "opcode INST"),
    "extension": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "persistent": (b"\x80\x02K\x01Q.", "opcode BINPERSID"),
    "dotted": (b"\x80\x04\x8c\x0bcollections\x8c\x11OrderedDict.clear\x93.", "OrderedDict.clear"),
    "object array": (calls("numpy", "dtype", "O"), "dtype that is not of plain numbers"),
}  # fmt: skip
BOMBS = {
    "400 GB tensor": rebuilt((100_000_000_000, 2), (0, 0)),
    "far offset": rebuilt((1,), (1,), 2**40),
    "negative stride": rebuilt((2,), (-1,)),
    "empty but huge": rebuilt((0, 2**40), (1, 1)),
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 400 * 2**30) + b"x.",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "long integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "deep tuples as a key": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns.",
    "a million lists": b"\x80\x02" + b"]" * 1_100_000 + b".",
    "a storage of itself": calls(*BYTE, b"x"),
    "no stack": b"R.",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_what_they_ask_for(name: str, tmp_path: Path) -> None:
    content, asked = HOSTILE[name]
    (tmp_path / "net.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.pkl: the file must") as caught:
        load_network(tmp_path / "net.pkl")
    assert asked in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BOMBS)
def test_files_that_ask_for_too_much_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "net.pkl").write_bytes(BOMBS[name])
    with limited(len(BOMBS[name])), pytest.raises(ValueError, match=r"net\.pkl: the file must"):
        load_network(tmp_path / "net.pkl")


@pytest.mark.usefixtures("official")
def test_mutated_and_truncated_files_are_whole_networks_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    state = write_official(path, tiny())
    content, rng = path.read_bytes(), np.random.default_rng(0)
    shapes = {name: value.shape for name, value in state.items()}
    lines, whole = [], 0
    for i in range(200):
        broken = bytearray(content)
        if i % 4 == 0:
            broken = broken[: rng.integers(len(content))]
        else:
            for place in rng.integers(0, len(content), rng.integers(1, 20)):
                broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            with limited(len(broken)):
                found = load_network(path).state_dict()
        except ValueError as error:
            lines.append(str(error))
            continue
        assert {name: value.shape for name, value in found.items()} == shapes
        assert all(value.dtype == torch.float16 for value in found.values())
        assert all(bool(torch.isfinite(value).all()) for value in found.values())
        whole += 1
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)
    assert not any("memory" in line.lower() for line in lines)
    assert min(whole, len(lines)) > 20


def test_what_is_no_network_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"ema": [1, 2]}))
    with pytest.raises(ValueError, match=r"a\.pkl: .* has no module under 'ema'"):
        read_tensors(tmp_path / "a.pkl")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"b\.pt: tensors must be those of an EDM2 or EDM"):
        load_network(tmp_path / "b.pt")
    with pytest.raises(ValueError, match="the file must be readable, got No such file"):
        load_network(tmp_path / "gone.pkl")


def test_a_file_of_more_numbers_than_any_published_network_is_refused() -> None:
    """A view with stride 0 takes no memory, whatever its shape."""
    huge = torch.zeros(1).expand(5_000_000_000)
    with pytest.raises(ValueError, match="must have at most 4000000000 numbers, got 5000000000"):
        network_of({"unet.out_gain": huge})


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("noise", "tensors must be those of DDPM.. or ADM, got those of NCSN"),
        ("aux", "tensors must be those of DDPM.. or ADM, got those of NCSN"),
        ("augment", "tensors must be those of training with augmentation, got augment=0"),
    ],
)
def test_kinds_of_edm_networks_that_are_not_supported_are_named(change: str, rule: str) -> None:
    tensors = dict(Edm(Layout("ddpmpp", 8, 0, 32, (2, 2), 1, (4,))).state_dict())
    if change == "noise":
        tensors["model.map_noise.freqs"] = torch.ones(16)
    elif change == "aux":
        tensors["model.enc.4x4_aux_residual.weight"] = torch.ones(3, 3, 1, 1)
    else:
        del tensors["model.map_augment.weight"]
    with pytest.raises(ValueError, match=rule):
        network_of(tensors)
