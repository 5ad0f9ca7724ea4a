"""From options to the recipe of a run of images: solver, levels and the origin of the levels."""

from pathlib import Path
from typing import Any

from benchmarks.imagenet.generate import Recipe
from benchmarks.imagenet.presets import Preset
from benchmarks.networks.network import Network, folder_hash, weights_hash
from theory.checks import Array, whole
from theory.names import parse_options
from theory.profiles.files import read_profile, read_schedule
from theory.profiles.profile import Profile
from theory.reading import looks_like_path
from theory.schedules.registry import REGISTRY, draws_on_profile
from theory.schedules.registry import schedule as named_schedule

PROFILE = "profile.json"
BATCH = 64
SOLVER, SCHEDULE, STEPS = "ddim", "edm", 32


def recipe_of(
    opened: Network, folder: Path, chosen: Preset | None, o: dict[str, Any]
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of the images, and the origin of its levels."""
    options: dict[str, Any] = parse_options(o.get("option") or ())
    if chosen is not None:
        given = [n for n in ("solver", "schedule", "steps", "terminal", "sigma_min", "sigma_max",
                             "rule") if o.get(n) is not None]  # fmt: skip
        if given or options:
            name = (given or ["option"])[0]
            raise ValueError(f"{name} must not stand with preset, got both; give one")
        o = o | {"solver": chosen.solver, "schedule": chosen.schedule, "steps": chosen.steps}
        o |= chosen.quadrature
    sigmas, source = _levels(opened, folder, o)
    precision = o["precision"] or "authors'"
    more = {"precision": precision, "compiled": bool(o.get("compiled"))}
    more["guidance"] = o.get("guidance")
    if o.get("condition") is not None:
        more["condition"] = weights_hash([Path(o["condition"])])
    if o.get("vae") is not None:
        more["vae"] = folder_hash(o["vae"])
    recipe = Recipe(
        o.get("solver") or SOLVER, options, sigmas, o["noise"],
        whole("batch", o["batch"] or BATCH, 1), o["images"], more,
    )  # fmt: skip
    recipe.table(opened)  # raises if the solver refuses an option
    return recipe, source


def _levels(opened: Network, folder: Path, o: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """Levels from a schedule file or of a named schedule, and their origin."""
    name = o.get("schedule") or SCHEDULE
    if looks_like_path(name):
        for option in ("steps", "terminal", "sigma_min", "sigma_max", "rule", "profile"):
            if o.get(option) is not None:
                raise ValueError(f"{option} must not stand with a schedule file, got {o[option]}")
        found = read_schedule(name)
        return found.sigmas, {"schedule": name, "method": found.method}
    name = REGISTRY.name(name)
    if name == "las":
        raise ValueError(
            "schedule must be a file for las, which `entropic schedule` writes from "
            f"{folder / PROFILE}, got the name"
        )
    grid: Profile | None = None
    source: dict[str, Any] = {"schedule": name}
    if draws_on_profile(name):
        path = Path(o.get("profile") or folder / PROFILE)
        if str(path) != "-" and not path.exists():
            raise ValueError(
                f"profile must be given for {name}, got none and no {path}; `entropic imagenet "
                "profile` measures one"
            )
        grid = read_profile(path)
        if o.get("profile") is None and grid.source.get("weights") != opened.weights:
            raise ValueError(
                f"{path}: the profile must be of this network, got another's; name the "
                "file to use it all the same"
            )
        source |= {"profile": path.name, "measured": dict(grid.source)}
    quadrature: dict[str, Any] = {}
    if "rule" in REGISTRY.options(name):
        quadrature = {"rule": o.get("rule") or "trapezoid"}
    ends = (opened.sigma_min, opened.sigma_max) if grid is None else grid.sigma[[0, -1]].tolist()
    asked = o.get("sigma_min"), o.get("sigma_max")
    low, high = (end if a is None else a for a, end in zip(asked, ends, strict=True))
    steps = whole("steps", STEPS if o.get("steps") is None else o["steps"], 1)
    terminal = o.get("terminal") or "zero"
    sigmas = named_schedule(name, steps, "edm", grid, terminal, low, high, **quadrature)
    return sigmas, source | quadrature | {"steps": steps, "terminal": terminal}
