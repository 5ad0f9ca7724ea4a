"""Profiles of networks: exact where the network is, resumable, with the split over frequencies."""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from answers import fields_of
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from mixture_network import MixtureDenoiser
from PIL import Image

from benchmarks.networks import measure as measuring
from benchmarks.networks.data import read_data
from benchmarks.networks.measure import (
    clean_samples,
    edm_levels,
    measure,
)
from benchmarks.networks.spectrum import amplitudes, multiplicity, radial_mean, radius, spectrum
from entropic.commands.main import main
from theory.profiles.files import read_profile
from toys.information import information
from toys.mixture import Mixture

TOY = Mixture([0.4, 0.6], [[-1.0], [1.0]], [0.2, 0.5])
CODE = '''
from mixture_network import MixtureDenoiser
from toys.mixture import Mixture

def exact():
    return MixtureDenoiser(Mixture([0.4, 0.6], [[-1.0], [1.0]], [0.2, 0.5]))

def pixels():
    """The exact denoiser of independent pixels N(0, 1 / 4), with an error of its own."""
    return lambda x, sigma, condition=None: x * (0.25 / (0.25 + sigma**2))[:, None, None, None]

def labelled():
    def denoise(x, sigma, condition=None):
        raise RuntimeError("not called")
    denoise.shape = (3, 3)
    return denoise

def text():
    return "a string"
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a user's module and data, the current one."""
    (tmp_path / "my_code.py").write_text(CODE)
    np.save(tmp_path / "data.npy", TOY.sample(1500, 0))
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.normal(0.0, 0.5, (300, 2, 4, 6)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_code", raising=False)
    return tmp_path


def run(*args: str):
    return CliRunner().invoke(main, list(args))


def printed(*args: str):
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return fields_of(result.stdout)


PROFILE = ("profile", "--network", "my_code:exact", "--data", "data.npy", "--out", "p.json")


def test_an_exact_network_has_the_exact_profile(folder: Path) -> None:
    """At 20 levels within 5 standard errors: one false alarm in some 10^5."""
    row = printed(*PROFILE, "--levels", "20")
    assert row["sigma"] == edm_levels(20, 0.002, 80.0).tolist()
    exact = information.curves(TOY, np.array(row["sigma"])).mmse
    assert (np.abs(np.array(row["mmse"]) - exact) < 5 * np.array(row["stderr"])).all()
    stored = read_profile("p.json")
    assert stored.mmse.tolist() == row["mmse"]
    assert stored.source["errors"] == "p.npz"
    assert stored.source["samples"] == 1024
    assert not stored.spectral  # one coordinate has no frequencies


def test_a_schedule_from_it_has_a_band_over_samples(folder: Path) -> None:
    printed(*PROFILE, "--levels", "64")
    args = ("schedule", "--profile", "p.json", "--steps", "6", "--replicates", "60")
    for method in ("rescaled", "entropic", "infogrid", "las"):
        fields = printed(*args, "--method", method)
        low, high = (np.array(fields["source"]["band"][k]) for k in ("low", "high"))
        assert (low[1:-1] < high[1:-1]).all()
        inside = (low <= fields["sigmas"]) & (fields["sigmas"] <= high)
        assert inside.all()


def test_left_rule_shows_its_bias(folder: Path) -> None:
    printed(*PROFILE, "--levels", "64", "--samples", "200")
    args = ("schedule", "--profile", "p.json", "--steps", "16", "--method", "rescaled")
    left = printed(*args, "--rule", "left", "--replicates", "0")
    other = printed(*args, "--rule", "trapezoid", "--replicates", "0")
    assert other["sigmas"] == printed(*args, "--replicates", "0")["sigmas"]
    gap = np.abs(np.array(left["sigmas"]) / other["sigmas"] - 1.0).max()
    assert left["source"]["left_bias"] == pytest.approx(gap, rel=1e-12)
    assert 0.02 < gap < 0.2
    shown = run(*args, "--rule", "left", "--for", "lines")
    assert "warning: the left sum moves levels by up to" in shown.stderr
    assert "band: the middle 90% of 200 bootstrap replicates" in shown.stderr


def test_an_interrupted_profile_goes_on_to_the_same_numbers(folder: Path, monkeypatch) -> None:
    whole = printed(*PROFILE, "--levels", "12", "--samples", "50")
    Path("p.npz").unlink()
    monkeypatch.setattr(measuring, "SAVE_SECONDS", -1.0)
    calls = []
    exact = MixtureDenoiser(TOY)

    def dies(x, sigma, condition=None):
        calls.append(float(sigma[0]))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return exact(x, sigma)

    data, grid = read_data("data.npy"), edm_levels(12, 0.002, 80.0)
    index = clean_samples(data, 50, 0)
    args = (data, index, grid, Path("q.npz"), {"a": 1})
    with pytest.raises(KeyboardInterrupt):
        measure(dies, *args, batch=50)
    calls.clear()
    found = measure(dies, *args, batch=50)
    assert calls == grid[7:].tolist()  # the level in work, and those after it
    np.testing.assert_array_equal(found.errors.mean(axis=0), whole["mmse"])


def test_a_finished_profile_is_not_measured_again(folder: Path) -> None:
    first = printed(*PROFILE, "--levels", "12", "--samples", "50")
    Path("my_code.py").write_text("def exact():\n    return lambda x, sigma, condition: 1 / 0\n")
    sys.modules.pop("my_code")
    assert printed(*PROFILE, "--levels", "12", "--samples", "50") == first


def test_errors_of_another_run_are_refused(folder: Path) -> None:
    printed(*PROFILE, "--levels", "12", "--samples", "50")
    result = run(*PROFILE, "--levels", "12", "--samples", "60")
    assert result.exit_code == 2
    assert "p.npz: the file must belong to this run, got samples 50 for 60" in result.stderr


def test_batches_do_not_show(folder: Path) -> None:
    data, grid = read_data("data.npy"), edm_levels(5, 0.01, 10.0)
    index = clean_samples(data, 40, 3)
    exact = MixtureDenoiser(TOY)
    one = measure(exact, data, index, grid, folder / "a.npz", {}, batch=40)
    many = measure(exact, data, index, grid, folder / "b.npz", {}, batch=7)
    np.testing.assert_allclose(one.errors, many.errors, rtol=1e-10, atol=1e-18)


# ---------------------------------------------------------------------------------------------
# The split over frequencies


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 5), (2, 6, 9), (4, 48), (2, 5)])
def test_frequencies_add_up_to_the_squared_error(shape) -> None:
    """Parseval, with the multiplicity of the halved axis."""
    x = torch.randn(5, *shape, dtype=torch.float64)
    total = (spectrum(x).abs() ** 2 * torch.from_numpy(multiplicity(shape))).flatten(1).sum(1)
    torch.testing.assert_close(total, (x**2).flatten(1).sum(1))


def test_radius_is_cycles_per_sample() -> None:
    wave = np.cos(2 * np.pi * (2 * np.arange(8)[:, None] / 8 + 3 * np.arange(10) / 10))
    power = spectrum(torch.from_numpy(wave)[None, None]).abs()[0, 0].numpy()
    at = np.unravel_index(power.argmax(), power.shape)
    assert radius((1, 8, 10))[0][at] == pytest.approx(np.hypot(2, 3))


def test_radial_mean_of_a_constant_is_that_constant() -> None:
    rings, mean = radial_mean(np.full(multiplicity((2, 9, 8)).shape, 3.5), (2, 9, 8), 1)
    np.testing.assert_allclose(mean, 3.5)
    assert rings.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_amplitudes_of_white_noise_are_flat(folder: Path) -> None:
    """r.m.s. 1 / 2 in every frequency of pixels N(0, 1 / 4); the mean modulus is less.

    300 images: relative spread 1 / sqrt(300) or sqrt(2 / 300); five of those at 48 frequencies.
    """
    found = amplitudes(read_data("images.npy"), batch=77)
    assert np.abs(found["rms"] / 0.5 - 1).max() < 5 * np.sqrt(0.5 / 300)
    assert (found["mean"] < found["rms"]).all()
    complex_ones = (multiplicity((2, 4, 6)) == 2) & (radius((2, 4, 6)) > 0)
    ratio = (found["mean"] / found["rms"])[complex_ones]
    assert ratio.mean() == pytest.approx(np.sqrt(np.pi) / 2, rel=0.02)  # a Rayleigh modulus


def test_split_of_independent_pixels_is_the_rescaled_profile(folder: Path) -> None:
    """All frequencies alike: spectral and rescaled levels agree but for sampling noise."""
    row = printed(
        "profile", "--network", "my_code:pixels", "--data", "images.npy", "--out", "i.json",
        "--levels", "40", "--samples", "300",
    )  # fmt: skip
    assert row["spectral"] == ["mean", "rms"]
    args = ("schedule", "--profile", "i.json", "--steps", "8", "--replicates", "0")
    spectral = printed(*args, "--method", "spectral", "--amplitude", "rms")
    rescaled = printed(*args, "--method", "rescaled")
    np.testing.assert_allclose(spectral["sigmas"], rescaled["sigmas"], rtol=0.02)
    assert spectral["source"]["amplitude"] == "rms"
    with np.load("i.npz") as kept:
        total = (kept["split"] * multiplicity((2, 4, 6))).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(total, row["mmse"], rtol=1e-12)


# ---------------------------------------------------------------------------------------------
# Data and networks as people have them


def pictures(n: int = 3, size: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


def test_images_of_a_folder_zip_and_arrays_are_the_same(tmp_path: Path) -> None:
    images = pictures()
    names = ["b/1.png", "a.png", "c.png"]
    labels = {"labels": [["c.png", 7], ["b/1.png", 0], ["a.png", 3]]}
    (tmp_path / "set" / "b").mkdir(parents=True)
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(tmp_path / "set" / name)
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(labels))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in (tmp_path / "set").rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path / "set").as_posix())
    ordered = images[[1, 0, 2]]
    np.savez(tmp_path / "set.npz", arr_0=ordered, labels=np.eye(8)[[3, 0, 7]])
    np.save(tmp_path / "set.npy", ordered.transpose(0, 3, 1, 2))
    for name in ("set", "set.zip", "set.npz", "set.npy"):
        data = read_data(str(tmp_path / name))
        expected = torch.from_numpy(ordered.transpose(0, 3, 1, 2) / 127.5 - 1.0).float()
        torch.testing.assert_close(data.take(slice(0, 3)), expected)
        assert data.shape == (3, 5, 5)
        if name == "set.npy":
            assert data.labels is None
        else:
            assert data.labels is not None
            assert data.labels.tolist() == [3, 0, 7]


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    assert read_data(str(tmp_path / "grey.npy")).shape == (1, 4, 4)


def test_grey_images_of_16_bits_keep_them(tmp_path: Path) -> None:
    ramp = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    for name in ("a", "b"):
        Image.fromarray(ramp).save(tmp_path / f"{name}.png")
    data = read_data(str(tmp_path))
    np.testing.assert_allclose(
        data.take(slice(0, 1)).numpy()[0, 0], 2.0 * ramp / 65535 - 1, atol=1e-6
    )
    Image.fromarray((ramp // 257).astype(np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(ValueError, match=r"c.png must have shape .* 16 bits as most .* 8 bits"):
        read_data(str(tmp_path))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("P", 3), ("RGBA", 3), ("LA", 1), ("1", 1), ("L", 1), ("CMYK", "must be grey or RGB"),
     ("clear RGBA", "must be opaque"), ("clear LA", "must be opaque"), ("F", "must be grey or RGB"),
     ("clear P", "must be opaque")],
)  # fmt: skip
def test_images_of_every_mode_are_right_or_refused(
    tmp_path: Path, mode: str, expected: int | str
) -> None:
    plain = Image.fromarray(pictures(1, 8)[0])
    kind, ending = mode.split()[-1], ".tiff" if mode in ("CMYK", "F") else ".png"
    if mode == "P":
        plain = plain.quantize(256)
    picture = plain if mode == "P" else plain.convert(kind)
    if mode.startswith("clear"):
        if kind == "P":
            picture.info["transparency"] = picture.getpixel((0, 0))
        else:
            picture.putalpha(Image.new("L", picture.size, 128))
    content = io.BytesIO()
    picture.save(content, "tiff" if ending == ".tiff" else "png")
    (tmp_path / "a.png").write_bytes(content.getvalue())  # found by its name, read by its content
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"a.png {expected}"):
            read_data(str(tmp_path))
        return
    found = read_data(str(tmp_path)).values[0]
    right = np.asarray(plain.convert("RGB" if expected == 3 else kind if kind == "1" else "L"))
    right = right.transpose(2, 0, 1) if expected == 3 else right[None]
    np.testing.assert_array_equal(found, right * (255 if kind == "1" else 1))


def test_the_odd_image_out_is_named(tmp_path: Path) -> None:
    for i, picture in enumerate(pictures(5)):
        image = Image.fromarray(picture)
        (image.convert("L") if i == 0 else image).save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match=r"0.png must have shape \(3, 5, 5\).* got \(1, 5, 5\)"):
        read_data(str(tmp_path))


def test_companions_of_other_systems_are_no_images(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for i, picture in enumerate(pictures(2)):
            content = io.BytesIO()
            Image.fromarray(picture).save(content, "png")
            archive.writestr(f"{i}.png", content.getvalue())
            archive.writestr(f"__MACOSX/._{i}.png", b"companion")
            archive.writestr(f"sub/._{i}.png", b"companion")
    assert len(read_data(str(tmp_path / "set.zip"))) == 2


def broken(path: Path, name: str) -> str:
    target = path / name
    if name == "objects.npy":
        np.save(target, np.array([{}, {}], dtype=object), allow_pickle=True)
    elif name == "cut.npy":
        np.save(target, np.ones((4, 2)))
        target.write_bytes(target.read_bytes()[:90])
    elif name == "nan.npy":
        np.save(target, np.array([[1.0], [np.nan]]))
    elif name == "int.npy":
        np.save(target, np.ones((2, 2), dtype=np.int64))
    elif name == "wide.npy":
        np.save(target, np.ones((2, 9, 9, 9), dtype=np.uint8))
    elif name == "two.npz":
        np.savez(target, a=np.ones(2), b=np.ones(2))
    elif name == "labels.npz":
        np.savez(target, x=np.ones((3, 2)), labels=[1, 2])
    elif name in ("cut.zip", "cut.npz", "other.txt"):
        target.write_bytes(b"PK nothing")
    elif name == "empty":
        target.mkdir()
    elif name == "sizes":
        target.mkdir()
        for i in (5, 6):
            Image.fromarray(pictures(1, i)[0]).save(target / f"{i}.png")
    elif name == "torn":
        target.mkdir()
        (target / "a.png").write_bytes(b"\x89PNG nothing")
    elif name == "unlabelled":
        target.mkdir()
        Image.fromarray(pictures(1)[0]).save(target / "a.png")
        (target / "dataset.json").write_text('{"labels": [["b.png", 1]]}')
    return str(target)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.npy", "the data must be a file or folder, got nothing there"),
        ("objects.npy", "whole NumPy file"),
        ("cut.npy", "whole NumPy file"),
        ("nan.npy", "the array must hold finite numbers"),
        ("int.npy", "the array must hold uint8 or floats, got int64"),
        ("wide.npy", r"images of bytes must be \(n, H, W\)"),
        ("two.npz", "the archive must hold an array images or data or x or arr_0, got a, b"),
        ("labels.npz", "labels must be 3 classes from 0"),
        ("cut.zip", "whole zip archive"),
        ("cut.npz", "whole NumPy file"),
        ("other.txt", r"the data must be .npy, .npz, .zip or a folder, got '.txt'"),
        ("empty", "the data must hold images"),
        ("sizes", r"5.png must have shape \(3, 6, 6\), 8 bits as most samples, got \(3, 5, 5\)"),
        ("torn", "a.png must be an image"),
        ("unlabelled", "dataset.json must label every image, got none for a.png"),
    ],
)
def test_broken_data_is_one_clear_line(tmp_path: Path, name: str, message: str) -> None:
    path = broken(tmp_path, name)
    with pytest.raises(ValueError, match=message) as error:
        read_data(path)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (PROFILE[:3], "data must be given with network, got none"),
        (PROFILE[:5], "out must be given with network, got none"),
        ((*PROFILE[:6], "p.npz"), "out must be a .json file in a folder that is there"),
        ((*PROFILE[:6], "no/p.json"), "out must be a .json file in a folder that is there"),
        ((*PROFILE, "--samples", "1501"), "samples must be at most the 1500 in the data, got 1501"),
        ((*PROFILE, "--levels", "3"), "levels must be a whole number at least 4"),
        ((*PROFILE, "--sigma", "1", "--levels", "9"), "sigma must stand without levels"),
        ((*PROFILE, "--sigma", "1"), "sigma must name at least 4 levels, got 1"),
        ((*PROFILE, "--sigma-max", "90"), "which the network knows"),
        ((*PROFILE, "--batch", "0"), "batch must be a whole number at least 1, got 0"),
        ((*PROFILE, "--seed", "-1"), "seed must be a whole number in"),
        ((*PROFILE, "--device", "tpu"), "device must be one of cpu, cuda"),
        ((*PROFILE, "--precision", "int8"), "precision must be one of float32, bfloat16, float16"),
        ((*PROFILE, "--guidance", "2"), "guidance must come with a diffusers folder"),
        ((*PROFILE, "--dim", "2"), "dim must come with losses, got 2"),
        (("profile", "--toy", "gaussian", "--data", "x"), "--data must come with --network"),
        (
            ("profile", "--network", "nothing", "--data", "data.npy", "--out", "p.json"),
            "network must be a checkpoint, a folder or module:function, got 'nothing'",
        ),
        (
            ("profile", "--network", "my_code:gone", "--data", "data.npy", "--out", "p.json"),
            "network must name a function to import, got 'my_code:gone'",
        ),
        (
            ("profile", "--network", "my_code:text", "--data", "data.npy", "--out", "p.json"),
            "network must return something to call, got str",
        ),
        (
            ("profile", "--network", "my_code:labelled", "--data", "data.npy", "--out", "p.json"),
            "data.npy: the samples must have shape (3, 3), the network's, got (1,)",
        ),
        (
            ("schedule", "--toy", "gaussian", "--method", "spectral", "--steps", "4"),
            "profile must have a split over frequencies",
        ),
        (
            ("schedule", "--toy", "gaussian", "--method", "edm", "--steps", "4", "--rule", "left"),
            "rule must be left out for schedule 'edm'",
        ),
    ],
)
def test_bad_input_is_one_clear_line(folder: Path, args, message: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_network_that_answers_nonsense_is_named(folder: Path) -> None:
    data = read_data("data.npy")
    index = clean_samples(data, 10, 0)

    def broken_network(x, sigma, condition=None):
        return torch.where(x == x[4], torch.inf, x)

    with pytest.raises(ValueError, match=f"for sample {index[4]} at sigma 0.1"):
        measure(broken_network, data, index, np.array([0.1, 0.2, 0.3, 0.4]), folder / "x.npz", {})
