"""The papers' image tables as presets, one per printed row and number of calls.

The printed numbers are read from benchmarks/published/*.csv and appear nowhere else. A name such as
`A-in64-S-ddim-rescaled-32` gives paper, data, network, solver, schedule and calls. Levels fall to
the process's lowest one and then to 0, in the number of steps that the calls allow (paper A final,
algorithm 1; paper C's program).
"""

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.engine.results import printed_file
from theory.schedules.standard import edm_sigmas
from theory.solvers.calls import equal_steps
from theory.solvers.registry import make_table

IMAGE_METRICS = {"FID": "fid", "FD-DINOv2": "fd_dinov2", "sFID": "sfid", "IS": "is"}
PRINTED = {ours: theirs for theirs, ours in IMAGE_METRICS.items()}
SEED_RANGES = (range(0, 50_000), range(50_000, 100_000), range(100_000, 150_000))

# Short name, network file and reference file, by data set and network as printed.
FILES = {
    ("CIFAR-10", "EDM"): ("cifar10", "edm-cifar10-32x32-uncond-vp.pkl", "cifar10-32x32.npz"),
    ("FFHQ-64", "EDM"): ("ffhq64", "edm-ffhq-64x64-uncond-vp.pkl", "ffhq-64x64.npz"),
    ("ImageNet-64", "EDM2-S"): ("in64-S", "edm2-img64-s-1073741-0.075.pkl", "img64.pkl"),
    ("ImageNet-64", "EDM2-L"): ("in64-L", "edm2-img64-l-1073741-0.040.pkl", "img64.pkl"),
    ("ImageNet-512", "EDM2-XS (FID)"): (
        *("in512-XS-fid", "edm2-img512-xs-2147483-0.135.pkl", "img512.pkl"),
    ),
    ("ImageNet-512", "EDM2-XS (DINO)"): (
        *("in512-XS-dino", "edm2-img512-xs-2147483-0.200.pkl", "img512.pkl"),
    ),
    ("ImageNet-512", "EDM2-XXL (FID)"): (
        *("in512-XXL-fid", "edm2-img512-xxl-0939524-0.070.pkl", "img512.pkl"),
    ),
    ("ImageNet-512", "EDM2-XXL (DINO)"): (
        *("in512-XXL-dino", "edm2-img512-xxl-0939524-0.150.pkl", "img512.pkl"),
    ),
    ("CIFAR-10", "EDM, 50k"): ("cifar10", "edm-cifar10-32x32-uncond-vp.pkl", "cifar10-32x32.npz"),
}
SOLVERS = {
    "DDIM (eta = 1)": "stochastic_ddim",
    "DDIM (eta = 0)": "ddim",
    "Heun": "heun",
    "DPM++": "dpmpp_2m",
    "DPM++(2M)": "dpmpp_2m",
    "SDE-DPM++(2M)": "sde_dpmpp_2m",
    "UniPC": "unipc_2",
    "RE": "re_multi",
    "EVODiff": "evodiff",
}
SCHEDULES = {
    "EDM": "edm",
    "EDM (rho = 7)": "edm",
    "rescaled": "rescaled",
    "spectral": "spectral",
    "LAS": "las",
    "logSNR": "log_snr",
    "time-uniform": "vp_linear",
}
C_SCHEDULE = "log_snr"  # of paper C's program; its tables name none
# Why some rows have no command. The papers do not give what is missing.
NO_FILE = {
    "B": "needs format: CompVis' class-conditional LDM-4; its guidance and levels are not known",
    "C": "needs format: no file of this network that can be read here",
}
THIRD = "needs its reference set of 10k images, which is not published"
SHORT = {
    "ImageNet-256": "in256",
    "CIFAR-10": "cifar10",
    "FFHQ-64": "ffhq64",
    "guided latent diffusion, 50k": "ldm",
    "guided diffusion, s = 2, 10k": "guided",
    "ScoreSDE, 50k": "scoresde",
    "ADM, 10k": "adm",
}


@dataclass(frozen=True)
class Preset:
    """A printed row at one number of calls.

    Args:
        name: Name of the preset, such as A-in64-S-ddim-rescaled-32.
        paper: Paper and version as in benchmarks/published, such as A-final.
        table: Number of the table in that version.
        dataset: Data set as printed.
        net: Network as printed.
        solver: Name in `theory.solvers.registry.SOLVERS`, or "" if there is no such solver.
        schedule: Name in `theory.schedules.registry.SCHEDULES`.
        nfe: Network calls per image.
        file: Published name of the network's file.
        reference: Published name of the file of reference statistics.
        needs: Why there is no command for the row, or "" if there is one.
        published: Printed values by metric: fid, fd_dinov2, sfid, is.
    """

    name: str
    paper: str
    table: str
    dataset: str
    net: str
    solver: str
    schedule: str
    nfe: int
    file: str
    reference: str
    needs: str
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of steps at which the solver makes `nfe` calls, or the most below."""
        return equal_steps(self._calls, self.nfe)

    @property
    def quadrature(self) -> dict[str, Any]:
        """The paper's quadrature for the schedule, its left Riemann sum, as options."""
        return {"rule": "left"} if self.schedule in ("entropic", "rescaled", "spectral") else {}

    def _calls(self, n: int) -> int:
        return int(make_table(self.solver, edm_sigmas(n, 80.0, 0.002, "zero")).nfe)


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, in the order of the printed tables."""
    found: dict[str, Preset] = {}
    for letter in "ABC":
        with open(printed_file(letter), encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["metric"] in IMAGE_METRICS and row["nfe"] and row["solver"]:
                    _add(found, letter, row)
    return found


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ValueError: There is none (the message has the nearest name), or its network is not
            available.
    """
    every = presets()
    if name not in every:
        near = difflib.get_close_matches(name, every, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"preset must be a row of the papers' tables, got {name!r:.60}{hint}")
    if every[name].needs:
        raise ValueError(f"preset must be a row with a command, got {name}: {every[name].needs}")
    return every[name]


def _add(found: dict[str, Preset], letter: str, row: Mapping[str, str]) -> None:
    """Add a printed number to its preset, which is created by its first number."""
    dataset, net, printed = row["dataset"], row["net"], row["solver"]
    solver, schedule = SOLVERS.get(printed, ""), SCHEDULES.get(row["schedule"], "")
    schedule = schedule or C_SCHEDULE
    short, file, reference = FILES.get((dataset, net), ("", "", ""))
    needs = ""
    if not file or "third-party" in row["table"]:
        needs = THIRD if "third-party" in row["table"] else NO_FILE[letter]
        short = "-".join(filter(None, (SHORT.get(dataset, dataset), SHORT.get(net, ""))))
    elif not solver:
        needs = f"needs the solver {printed}, whose statistics are published as files only"
    parts = [letter, short, solver or printed.lower().replace(" ", "-"), schedule, row["nfe"]]
    if letter == "C" and row["paper"] == "C-note":
        parts.insert(1, "third" if "third-party" in row["table"] else "note")
    name = "-".join(parts)
    one = found.setdefault(
        name,
        Preset(
            name, row["paper"], row["table"], dataset, net, solver, schedule, int(row["nfe"]), file,
            reference, needs, {},
        ),
    )  # fmt: skip
    metric = IMAGE_METRICS[row["metric"]]
    assert metric not in one.published, f"{name} stands twice in the published tables"
    one.published[metric] = float(row["value"])  # type: ignore[index]


def listing() -> list[dict[str, Any]]:
    """Every printed row as plain values."""
    return [
        {
            "name": p.name, "paper": p.paper, "table": p.table, "dataset": p.dataset, "net": p.net,
            "nfe": p.nfe, "file": p.file or None, "reference": p.reference or None,
            "published": dict(p.published), "needs": p.needs or None,
        }
        for p in presets().values()
    ]  # fmt: skip


def listing_text(rows: list[dict[str, Any]]) -> str:
    """The rows for the terminal, with the files they need."""
    lines = [f"{'name':44s} {'published':28s} needs"]
    for row in rows:
        said = " ".join(f"{PRINTED[m]} {v:g}" for m, v in row["published"].items())
        needs = row["needs"] or f"{row['file']}, {row['reference']}"
        lines.append(f"{row['name']:44s} {said:28s} {needs}")
    return "\n".join(lines)
