"""`entropic imagenet`: profile, levels, images, scores and table of a tiny network, on the CPU."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from answers import fields_of
from click.testing import CliRunner, Result

from benchmarks.imagenet.presets import listing, preset, presets
from entropic.commands.main import main

WHY = "needs the extra `imagenet`; make test-all has it"
torch = pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")
pytest.importorskip("transformers", reason=WHY)

from stand_ins import write_dino, write_inception
from tiny_networks import CLASSES, SIDE, tiny_edm2, write_network

from benchmarks.imagenet.dino import load_dino
from benchmarks.imagenet.generate import shards_in
from benchmarks.imagenet.inception import load_inception
from benchmarks.imagenet.manifold import precision_recall
from benchmarks.imagenet.references import read_reference
from benchmarks.imagenet.score import inception_score
from benchmarks.imagenet.shards import numbered
from benchmarks.measure.frechet import (
    frechet,
    moments,
)
from theory.profiles.files import read_profile

ROOT = Path(__file__).parents[1]
ROW = "A-in64-S-ddim-rescaled-16"
A_BATCH = 0.4  # seconds, less than a batch of `command` takes
GENERATE = ("imagenet", "generate", "--solver", "stochastic_ddim", "--batch", "4")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def printed(*args: object) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return fields_of(result.stdout)


def refused(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny versions of all files that a user with the weights has."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)

    def law(d: int) -> dict[str, Any]:
        rows = rng.standard_normal((3 * d, d))
        return {"mu": rows.mean(axis=0), "sigma": np.cov(rows.T)}

    write_network(root / "net.safetensors", tiny_edm2())
    write_network(root / "latents.safetensors", tiny_edm2(channels=4))
    write_inception(root / "inception.pt")
    write_dino(root / "dino")
    table = {"num_images": 40, "fid": law(32), "fd_dinov2": law(16)}
    (root / "img64.pkl").write_bytes(pickle.dumps(table, 4))
    images = rng.integers(0, 256, (40, 3, SIDE, SIDE), dtype=np.uint8)
    np.savez(root / "data.npz", images=images, labels=rng.integers(0, CLASSES, 40))
    spatial = {f"{key}_s": value for key, value in law(7 * 17 * 17).items()}
    few = rng.integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)
    np.savez(root / "adm.npz", **law(32), **spatial, arr_0=few)
    return root


def scoring(files: Path) -> tuple[object, ...]:
    return "--inception", files / "inception.pt", "--trust", "--dino", files / "dino"


def of_table(files: Path, out: Path) -> tuple[object, ...]:
    where = "--net", files / "net.safetensors", "--ref", files / "img64.pkl", "--out", out
    return "imagenet", "table", "--preset", ROW, *where, *scoring(files), "--batch", 4


def test_profile_levels_images_scores_and_table(files: Path, tmp_path: Path) -> None:
    """From a network to a row of the table, with measured and published values."""
    out, net = tmp_path / "run", files / "net.safetensors"
    few = "--samples", 20, "--levels", 12
    row = printed(
        "imagenet", "profile", "--net", net, "--data", files / "data.npz", "--out", out, *few
    )
    profile = read_profile(out / "profile.json")
    assert row["sigma"] == profile.sigma.tolist()
    assert (profile.sigma[0], profile.sigma[-1], profile.sigma.size) == (0.002, 80.0, 12)
    assert sorted(profile.spectral) == ["mean", "rms"]
    made = printed(*of_table(files, out), "--seeds", "0-9", "--seeds", "10-19")
    assert [r["metric"] for r in made["rows"]] == ["FID", "FD-DINOv2"]
    for r in made["rows"]:
        assert (r["name"], r["runs"], r["images"], r["calls"]) == (ROW, 2, 10, 16)
        assert (
            r["published"] == presets()[ROW].published[{"FID": "fid"}.get(r["metric"], "fd_dinov2")]
        )
        assert 0.0 < r["minimum"] <= r["mean"]
        assert (r["seeds"], r["terminal"], r["noise"]) == ("0-9 10-19", "zero", "philox")
    table = pd.read_csv(out / "table.csv")
    assert table["minimum"].tolist() == [r["minimum"] for r in made["rows"]]
    assert f"| {ROW} | FID | 3.46 |" in (out / "table.md").read_text()
    run_file = json.loads((out / ROW / "run.json").read_text())
    levels = run_file["key"]["sigmas"]
    assert (levels[0], levels[-2], levels[-1], len(levels)) == (80.0, 0.002, 0.0, 17)
    assert run_file["source"]["rule"] == "left"
    again = printed(*of_table(files, out), "--seeds", "0-9", "--seeds", "10-19")
    assert again == made
    more = printed(*of_table(files, out), "--seeds", "0-9")
    assert pd.read_csv(out / "table.csv")["runs"].tolist() == [1, 1]
    assert more["rows"][0]["mean"] == more["rows"][0]["minimum"]


def test_scores_are_those_of_the_features_of_the_images(files: Path, tmp_path: Path) -> None:
    """By the plain formulas on all images at once."""
    where = "--net", files / "net.safetensors", "--out", tmp_path
    printed(*GENERATE, *where, "--seeds", "0-13", "--steps", 4)
    found = printed(
        "imagenet", "score", "--out", tmp_path, "--seeds", "2-12", "--ref", files / "adm.npz",
        *scoring(files),
    )  # fmt: skip
    other = write_network(tmp_path / "other.safetensors", tiny_edm2(classes=4))
    args = "imagenet", "score", "--out", tmp_path, "--ref", files / "adm.npz", *scoring(files)
    assert "the images must be those of net" in refused(*args, "--net", other)
    shards, _ = shards_in(tmp_path)
    images = torch.from_numpy(np.stack([x for _, x in numbered(shards, range(2, 13))]))
    assert images.shape == (11, 3, SIDE, SIDE)
    net, ref = load_inception(files / "inception.pt", trust=True), read_reference(files / "adm.npz")
    features = {name: rows.numpy() for name, rows in net(images).items()}
    values = found["values"]
    assert ref.inception is not None
    assert ref.spatial is not None
    assert ref.images is not None
    fid = frechet(moments(features["inception"]), ref.inception)
    assert values["fid"] == pytest.approx(fid, rel=1e-4)
    assert values["sfid"] == pytest.approx(
        frechet(moments(features["spatial"]), ref.spatial), rel=1e-4
    )
    assert values["is"] == pytest.approx(inception_score(features["probabilities"]), rel=1e-5)
    theirs = net(torch.from_numpy(ref.images.transpose(0, 3, 1, 2).copy()))["inception"].numpy()
    kept = next((tmp_path / "features").glob("inception*/00000001.npz"))
    kept.write_bytes(kept.read_bytes()[:99])
    assert "the file must hold features" in refused(*args, "--seeds", "2-12")
    kept.unlink()
    assert printed(*args, "--seeds", "2-12")["values"] == values
    both = precision_recall(theirs, features["inception"])
    assert (values["precision"], values["recall"]) == both
    assert values["fd_dinov2"] is None
    assert "has no statistics of dinov2" in found["reasons"]["fd_dinov2"]
    few = printed(*args, "--seeds", "2-4")
    assert few["values"]["fid"] > 0
    assert few["reasons"]["precision"] == "needs more than 3 images, got 3"
    assert json.loads((tmp_path / "scores-2-12.json").read_text())["values"] == values
    assert load_dino(files / "dino")(images)["dinov2"].shape == (11, 16)


def test_inception_score_of_known_laws() -> None:
    """One-hot rows over k classes have score k, equal rows 1; splits of 5000 are averaged."""
    assert inception_score(np.eye(8, dtype=np.float32)[np.arange(800) % 8]) == pytest.approx(8.0)
    assert inception_score(np.full((10, 4), 0.25, dtype=np.float32)) == pytest.approx(1.0)
    halves = np.concatenate([np.eye(2)[np.arange(5000) % 2], np.tile([1.0, 0.0], (5000, 1))])
    assert inception_score(halves.astype(np.float32)) == pytest.approx(1.5)


def test_precision_and_recall_of_points_on_a_line() -> None:
    """Reference 0..9, k = 3: balls reach 3 at the ends, 2 inside; brute force on others."""
    reference = np.arange(10.0, dtype=np.float32)[:, None]
    images = np.array([[4.5], [12.5], [11.9], [30.0], [31.0]], dtype=np.float32)
    precision, recall = precision_recall(reference, images)
    radii = [np.sort(np.abs(x - images[:, 0]))[3] for x in images[:, 0]]
    inside = [any(abs(r - x) <= q for x, q in zip(images[:, 0], radii, strict=True))
              for r in reference[:, 0]]  # fmt: skip
    assert precision == 2 / 5  # 4.5 and 11.9, which lies 2.9 from 9
    assert recall == np.mean(inside)
    with pytest.raises(ValueError, match="images must have more than 3 features, got 3"):
        precision_recall(reference, images[:3])


def test_images_of_others_are_scored(files: Path, tmp_path: Path) -> None:
    given = "--data", files / "data.npz", "--ref", files / "img64.pkl", "--out", tmp_path
    whole = printed("imagenet", "score", *given, *scoring(files), "--batch", 16)
    assert whole["images"] == 40
    other = printed("imagenet", "score", *given, *scoring(files), "--batch", 7)
    for metric in ("fid", "fd_dinov2"):
        assert whole["values"][metric] == pytest.approx(other["values"][metric], rel=1e-5)
    assert whole["values"]["precision"] is None
    assert "has no images" in whole["reasons"]["recall"]


def test_a_schedule_file_and_its_levels(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    mine = {
        "kind": "schedule",
        "method": "mine",
        "sigmas": [70.0, 1.0, 0.1, 0.0],
        "terminal": "zero",
    }
    path.write_text(json.dumps(mine))
    where = "--net", files / "net.safetensors", "--out", tmp_path / "run", "--seeds", "0-3"
    made = printed("imagenet", "generate", *where, "--schedule", path, "--solver", "heun")
    assert made["sigmas"] == mine["sigmas"]
    assert (made["calls"], made["batches_made"]) == (5, 1)
    assert "steps must not stand with a schedule file" in refused(
        "imagenet", "generate", *where, "--schedule", path, "--steps", 3
    )


def test_the_profile_of_another_network_is_used_only_where_it_is_named(
    files: Path, tmp_path: Path
) -> None:
    net, out = files / "net.safetensors", tmp_path / "run"
    few = "--samples", 8, "--levels", 6, "--data", files / "data.npz"
    printed("imagenet", "profile", "--net", net, "--out", out, *few)
    other = write_network(tmp_path / "other.safetensors", tiny_edm2(classes=4))
    args = ("imagenet", "generate", "--net", other, "--out", out, "--schedule", "rescaled",
            "--seeds", "0-1", "--batch", 2)  # fmt: skip
    assert "the profile must be of this network" in refused(*args)
    assert printed(*args, "--profile", out / "profile.json")["batches_made"] == 1


def test_labels_of_a_file_stand_in_for_those_of_the_seeds(files: Path, tmp_path: Path) -> None:
    """Seed s takes row s modulo the number of rows; labels must be the network's."""
    np.savez(tmp_path / "rows.npz", class_labels=np.array([4, 1, 1], dtype=np.int32))
    np.savez(tmp_path / "one.npz", class_labels=np.array([4]))
    np.savez(tmp_path / "high.npz", class_labels=np.array([CLASSES]))
    args = (*GENERATE, "--net", files / "net.safetensors", "--seeds", "0-3", "--steps", 3)
    found = []
    for name in ("rows", "one"):
        out = tmp_path / name
        printed(*args, "--out", out, "--condition", tmp_path / f"{name}.npz")
        found.append(dict(numbered(shards_in(out)[0], range(4))))
    same = [np.array_equal(found[0][s], found[1][s]) for s in range(4)]
    assert same == [True, False, False, True]
    message = refused(*args, "--out", tmp_path / "x", "--condition", tmp_path / "high.npz")
    assert f"class_labels must be whole numbers below {CLASSES}" in message


BAD = {
    "no such net": (("generate", "--net", "nowhere.pkl", "--out", "{out}"), "network must be"),
    "rescaled without a profile": (
        ("generate", "--net", "{net}", "--out", "{out}", "--schedule", "rescaled"),
        "profile must be given for rescaled",
    ),
    "las by name": (
        ("generate", "--net", "{net}", "--out", "{out}", "--schedule", "las"),
        "schedule must be a file for las",
    ),
    "solver": (
        ("generate", "--net", "{net}", "--out", "{out}", "--solver", "dddim"),
        "did you mean 'ddim'",
    ),
    "option of a solver": (
        ("generate", "--net", "{net}", "--out", "{out}", "--option", "eta=0.5"),
        "eta must be left out for solver 'ddim'",
    ),
    "no steps": (
        ("generate", "--net", "{net}", "--out", "{out}", "--steps", "0"),
        "steps must be a whole number at least 1, got 0",
    ),
    "no lowest level": (
        ("generate", "--net", "{net}", "--out", "{out}", "--sigma-min", "0"),
        "sigma_min must be positive",
    ),
    "other conditions": (
        ("generate", "--net", "{net}", "--out", "{out}", "--condition", "{data}"),
        "data.npz: the network must be given class_labels, got images, labels",
    ),
    "no condition there": (
        ("generate", "--net", "{net}", "--out", "{out}", "--condition", "nowhere.npz"),
        "nowhere.npz: the file must be an .npz of named arrays",
    ),
    "no autoencoder there": (
        ("generate", "--net", "{latents}", "--out", "{out}", "--vae", "nowhere"),
        "nowhere: path must be a folder with config.json",
    ),
    "no levels": (
        ("profile", "--net", "{net}", "--out", "{out}", "--data", "{data}", "--levels", "0"),
        "levels must be a whole number at least 4, got 0",
    ),
    "preset and solver": (
        ("generate", "--net", "{net}", "--out", "{out}", "--preset", ROW, "--solver", "heun"),
        "solver must not stand with preset",
    ),
    "unknown preset": (
        ("generate", "--net", "{net}", "--out", "{out}", "--preset", "A-in64-S-ddim-rescald-16"),
        f"did you mean {ROW!r}",
    ),
    "row without a command": (
        ("generate", "--net", "{net}", "--out", "{out}", "--preset", "B-in256-ldm-ddim-las-10"),
        "preset must be",
    ),
    "digest": (
        ("generate", "--net", "{net}", "--out", "{out}", "--sha256", "00"),
        "net.safetensors: the file must",
    ),
    "noise": (
        ("generate", "--net", "{net}", "--out", "{out}", "--noise", "mt"),
        "noise must be one of philox, edm2",
    ),
    "seeds": (
        ("generate", "--net", "{net}", "--out", "{out}", "--seeds", "5-2"),
        "seeds must rise",
    ),
    "guidance": (
        ("generate", "--net", "{net}", "--out", "{out}", "--guidance", "2"),
        "guidance must come with a diffusers folder",
    ),
    "compiled on the CPU": (
        ("generate", "--net", "{net}", "--out", "{out}", "--compile", "--device", "cpu"),
        "compile must come with a CUDA device",
    ),
    "a batch for shards": (
        ("score", "--ref", "{ref}", "--out", "{out}", "--inception", "{pt}", "--batch", "3"),
        "batch must come with data",
    ),
    "profile without data": (
        ("profile", "--net", "{net}", "--out", "{out}"),
        "data must be given",
    ),
    "nothing to score with": (
        ("score", "--data", "{data}", "--ref", "{ref}", "--out", "{out}"),
        "inception or dino must be given",
    ),
    "inception on faith": (
        ("score", "--data", "{data}", "--ref", "{ref}", "--out", "{out}", "--inception", "{pt}"),
        "must come with inception_sha256 or trust",
    ),
    "scores of nothing": (
        ("score", "--ref", "{ref}", "--out", "{out}", "--inception", "{pt}", "--trust"),
        "run.json: the file must be readable",
    ),
    "a reference that is none": (
        ("score", "--data", "{data}", "--ref", "{data}", "--out", "{out}", "--inception", "{pt}",
         "--trust"),
        "data.npz: the file must hold reference statistics",
    ),
    "a folder in place of a published file": (
        ("table", "--preset", ROW, "--net", "{out}", "--ref", "{ref}", "--out", "{out}"),
        "net must be a published file for a printed row",
    ),
    "table without data": (
        ("table", "--preset", ROW, "--net", "{net}", "--ref", "{ref}", "--out", "{out}",
         "--inception", "{pt}", "--trust"),
        "data or profile must be given",
    ),
    "table without a reference": (
        ("table", "--preset", ROW, "--net", "{net}", "--out", "{out}"),
        "--ref must be given",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_is_one_line_and_exit_code_2(files: Path, tmp_path: Path, fault: str) -> None:
    args, message = BAD[fault]
    names = {"out": tmp_path / "out", "net": files / "net.safetensors", "ref": files / "img64.pkl"}
    names["latents"] = files / "latents.safetensors"
    names |= {"data": files / "data.npz", "pt": files / "inception.pt"}
    assert message in refused("imagenet", *(a.format(**names) for a in args))


def test_listing_says_every_row_and_what_it_needs() -> None:
    rows = {row["name"]: row for row in printed("imagenet", "table", "--list")["presets"]}
    assert len(rows) == len(presets()) == len(listing())
    assert rows[ROW]["published"] == {"fid": 3.46, "fd_dinov2": 117.26}
    assert rows[ROW]["needs"] is None
    assert rows["B-in256-ldm-dpmpp_2m-las-10"]["needs"].startswith("needs format")
    assert ROW in run("imagenet", "table", "--list").stdout


def test_presets_are_the_printed_rows_once() -> None:
    """Numbers of rows by paper A's tables, and calls as printed wherever the solver can."""
    ready = [p for p in presets().values() if not p.needs]
    counts = {short: sum(p.name.startswith(short) for p in ready)
              for short in ("A-cifar10", "A-ffhq64", "A-in64", "A-in512")}  # fmt: skip
    assert counts == {"A-cifar10": 18, "A-ffhq64": 18, "A-in64": 36, "A-in512": 48}
    for p in ready:
        calls = p._calls(p.steps)
        assert calls == p.nfe or (p.solver == "heun" and calls == p.nfe - 1)
    assert preset("A-in512-XXL-dino-ddim-rescaled-64").published == {
        "fid": 3.70,
        "fd_dinov2": 43.83,
    }


def command(files: Path, out: Path, ranks: int) -> list[str]:
    """Images of 40 seeds in a process of its own, or in as many as torchrun makes."""
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    python = [sys.executable, *(run if ranks > 1 else ()), "-m", "entropic"]
    where = ["--net", str(files / "net.safetensors"), "--out", str(out), "--seeds", "0-39"]
    return [*python, *GENERATE, *where, "--steps", "100"]


def finish(args: list[str]) -> None:
    done = subprocess.run(args, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def bytes_of(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((out / "images").iterdir())}


@pytest.mark.slow
def test_one_and_two_ranks_make_the_same_bytes_and_scores(files: Path, tmp_path: Path) -> None:
    scores = []
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        finish(command(files, out, ranks))
        args = command(files, out, ranks)
        args = args[: args.index("entropic") + 1]
        where = ["--out", out, "--ref", files / "img64.pkl", "--seeds", "0-39", *scoring(files)]
        finish([*args, "imagenet", "score", *map(str, where)])
        scores.append(json.loads((out / "scores-0-39.json").read_text()))
    one, two = (bytes_of(tmp_path / str(ranks)) for ranks in (1, 2))
    assert len(one) == 10
    assert one == two
    assert scores[0] == scores[1]
    assert scores[0]["values"]["fid"] > 0


@pytest.mark.slow
def test_killed_at_random_moments_it_loses_nothing(files: Path, tmp_path: Path) -> None:
    """SIGKILL five times, each at some moment of a batch; then the run is finished."""
    finish(command(files, tmp_path / "whole", 1))
    out, chance = tmp_path / "killed", random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(
            command(files, out, 1), cwd=ROOT, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before, begun = there(out), time.monotonic()
        while there(out) == before and time.monotonic() - begun < 100:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, A_BATCH))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert before < there(out) < 10
    finish(command(files, out, 1))
    assert bytes_of(out) == bytes_of(tmp_path / "whole")


def there(out: Path) -> int:
    """The number of complete shards."""
    return len(list((out / "images").glob("[0-9]*.zip")))
