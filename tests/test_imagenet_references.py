"""Reference statistics in EDM2's, EDM's and ADM's formats, and files that are none."""

import io
import os
import pickle
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")

from benchmarks.imagenet.references import read_reference


def law(d: int, seed: int) -> dict[str, Any]:
    """A mean and covariance by EDM's names."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((3 * d, d))
    return {"mu": rows.mean(axis=0), "sigma": np.cov(rows.T)}


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_edm2s_pickle(tmp_path: Path, protocol: int) -> None:
    fid, dino = law(6, 0), law(4, 1)
    path = tmp_path / "img64.pkl"
    table = {"num_images": np.int64(50_000), "fid": fid, "fd_dinov2": dino}
    path.write_bytes(pickle.dumps(table, protocol=protocol))
    found = read_reference(path)
    assert found.count == 50_000
    assert found.inception is not None
    assert found.dinov2 is not None
    assert (found.spatial, found.images) == (None, None)
    for got, want in ((found.inception, fid), (found.dinov2, dino)):
        assert np.array_equal(got.mean, want["mu"])
        np.testing.assert_allclose(got.covariance, want["sigma"], rtol=1e-15)


def test_a_pickle_with_one_of_both(tmp_path: Path) -> None:
    path = tmp_path / "fid.pkl"
    path.write_bytes(pickle.dumps({"fid": {k: v.astype("f4") for k, v in law(3, 0).items()}}, 4))
    found = read_reference(str(path))
    assert found.inception is not None
    assert found.inception.covariance.dtype == np.float64
    assert (found.dinov2, found.count) == (None, None)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_edms_archive(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "cifar10-32x32.npz", **law(5, 2))
    found = read_reference(tmp_path / "cifar10-32x32.npz")
    assert found.inception is not None
    assert np.array_equal(found.inception.mean, law(5, 2)["mu"])
    assert (found.dinov2, found.spatial, found.images) == (None, None, None)


def test_adms_archive_has_spatial_statistics_and_images(tmp_path: Path) -> None:
    spatial = {f"{k}_s": v for k, v in law(7, 3).items()}
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    path = saved(tmp_path / "adm.npz", **law(5, 2), **spatial, arr_0=images)
    found = read_reference(path)
    assert found.spatial is not None
    assert found.spatial.mean.size == 7
    assert np.array_equal(found.images, images)


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("false",)


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(path: Path, mu: bytes, compression: int = zipfile.ZIP_DEFLATED) -> None:
    """An archive with these bytes as its mean."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("mu.npy", mu)
        archive.writestr("sigma.npy", npy(law(5, 2)["sigma"]))


def spoilt(fault: str, path: Path) -> None:
    """A file with that fault."""
    good = law(5, 2)
    if fault == "evil":
        path.write_bytes(pickle.dumps({"fid": Evil()}, 4))
    elif fault == "objects":
        np.savez(path, mu=np.array([1, None], dtype=object), sigma=good["sigma"])
    elif fault == "other arrays":
        np.savez(path, **{"mean": good["mu"]})
    elif fault == "mean only":
        path.write_bytes(pickle.dumps({"fid": {"mu": good["mu"]}}, 4))
    elif fault == "other shape":
        np.savez(path, mu=good["mu"][:4], sigma=good["sigma"])
    elif fault == "not finite":
        np.savez(path, mu=good["mu"] * np.nan, sigma=good["sigma"])
    elif fault == "not symmetric":
        np.savez(path, mu=good["mu"], sigma=np.triu(good["sigma"]))
    elif fault == "list":
        path.write_bytes(pickle.dumps([1, 2], 4))
    elif fault == "text":
        path.write_bytes(b"mu sigma")
    elif fault == "images of floats":
        np.savez(path, **good, arr_0=np.zeros((2, 4, 4, 3)))
    elif fault == "bomb":
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mu.npy", stream.getvalue())
            archive.writestr("sigma.npy", stream.getvalue())
    elif fault == "short":
        zipped(path, npy(good["mu"])[:150])
    elif fault == "long":
        zipped(path, npy(good["mu"]) + bytes(64 << 20))
    elif fault == "long header":
        zipped(path, b"\x93NUMPY\x02\x00" + struct.pack("<I", 64 << 20) + bytes(64 << 20))
    elif fault == "bzip2":
        zipped(path, npy(good["mu"]) + bytes(64 << 20), zipfile.ZIP_BZIP2)
    elif fault == "lzma":
        zipped(path, npy(good["mu"]), zipfile.ZIP_LZMA)
    elif fault == "complex":
        path.write_bytes(pickle.dumps({"fid": {k: v + 1j for k, v in good.items()}}, 4))
    elif fault == "complex in archive":
        np.savez(path, **{k: v + 1j for k, v in good.items()})
    elif fault == "overflow":
        np.savez(path, mu=good["mu"], sigma=np.triu(np.full((5, 5), 1.7e308), 1) * (1, 1, 1, 1, -1))
    elif fault == "no images":
        path.write_bytes(pickle.dumps({"num_images": -3, "fid": good}, 4))
    elif fault == "two lines":
        path.write_bytes(b"\x80\x04\x8c\x03a\nb\x8c\x06system\x93.")


FAULTS = {
    "evil": "the file must be data, got .*system",
    "objects": "the file must hold reference statistics, got mu of object",
    "other arrays": "got no mu and sigma",
    "mean only": "fid without arrays mu and sigma",
    "other shape": r"mean of shape \(4,\) and covariance \(5, 5\)",
    "not finite": "numbers that are not finite",
    "not symmetric": "covariance that is not symmetric",
    "list": "something else than a table",
    "text": "the file must",
    "images of floats": r"arr_0 of float64 \(2, 4, 4, 3\), no images of bytes",
    "bomb": r"mu of float64 \(1000000, 1000000\), no array of numbers that is expected",
    "short": r"mu of float64 \(5,\) in 22 bytes",
    "long": r"mu of float64 \(5,\) in 67108904 bytes",
    "long header": r"mu of version \(2, 0\)",
    "bzip2": "mu of a compression that NumPy does not write",
    "lzma": "mu of a compression that NumPy does not write",
    "complex": "fid with a mean of complex128",
    "complex in archive": "mu of complex128",
    "overflow": "covariance that is not symmetric",
    "no images": "num_images must be a whole number at least 1, got -3",
    "two lines": "the file must be data, got a b.system",
    "absent": "the file must be readable, got No such file",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_files_are_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "ref.npz"
    spoilt(fault, path)
    with pytest.raises(ValueError, match=FAULTS[fault]) as error:
        read_reference(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fault", ["bomb", "long", "long header", "bzip2"])
def test_archives_that_expand_are_refused_before_they_do(tmp_path: Path, fault: str) -> None:
    """The limit is 32 MiB above what is used now; their members expand to 64 MiB."""
    path = tmp_path / "ref.npz"
    spoilt(fault, path)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), old[1]))
    try:
        with pytest.raises(ValueError, match=FAULTS[fault]):
            read_reference(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


@pytest.mark.parametrize("kind", ["pickle", "archive"])
def test_cut_files_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ref"
    if kind == "pickle":
        whole = pickle.dumps({"fid": law(5, 0)}, 4)
    else:
        saved(tmp_path / "whole.npz", **law(5, 0))
        whole = (tmp_path / "whole.npz").read_bytes()
    for end in range(0, len(whole) - 1, 13):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="ref: the file must") as error:
            read_reference(path)
        assert "\n" not in str(error.value)
