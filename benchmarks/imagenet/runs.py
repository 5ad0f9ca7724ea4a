"""The commands of `entropic imagenet`: they take options and return plain rows."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.store import make_folder
from benchmarks.imagenet import table as tables
from benchmarks.imagenet.generate import generate_images, shards_in
from benchmarks.imagenet.inception import load_inception
from benchmarks.imagenet.presets import PRINTED, SEED_RANGES, Preset, preset
from benchmarks.imagenet.ranks import Ranks, fitting, join
from benchmarks.imagenet.recipes import BATCH, PROFILE, recipe_of
from benchmarks.imagenet.references import Reference, read_reference
from benchmarks.imagenet.score import FRECHET, Batches, Extractor, Given, scores
from benchmarks.imagenet.seeds import parse_seeds
from benchmarks.networks.data import read_data
from benchmarks.networks.measure import LEVELS, edm_levels
from benchmarks.networks.network import Network, folder_hash, weights_hash
from benchmarks.networks.profiles import given_condition, measured_profile, read_arrays
from benchmarks.networks.spec import open_network, weights_of
from theory.checks import check_seed
from theory.reading import write_json
from theory.schedules.registry import draws_on_profile

MOST_IMAGES = 10_000  # that a profile reads, for samples and amplitudes


def profile(net: str, data: str | None, out: str, **o: Any) -> dict[str, Any]:
    """The profile of a network at 128 levels of EDM's grid, 1024 samples, in OUT/profile.json."""
    if data is None:
        raise ValueError("data must be given for a profile, got none")
    ranks = join(o["device"])
    row: dict[str, Any] = {}
    if ranks.first:
        opened = _opened(net, ranks, o)
        row = _measured(opened, data, make_folder(Path(out)) / PROFILE, ranks, o)
    ranks.wait()
    return row


def generate(net: str, out: str, seeds: str, **o: Any) -> dict[str, Any]:
    """Make the images of these seeds in OUT/images, except those that are there already."""
    ranks = join(o["device"])
    opened = _opened(net, ranks, o)
    chosen = None if o["preset"] is None else preset(o["preset"])
    rows = None if o["condition"] is None else given_condition(opened, o["condition"])
    recipe, source = recipe_of(opened, Path(out), chosen, o)
    wanted = parse_seeds(seeds)
    made = generate_images(opened, recipe, wanted, Path(out), ranks, rows, source)
    return {
        "kind": "images", "out": out, "seeds": [wanted.start, wanted.stop - 1],
        "batches_made": made, "calls": recipe.table(opened).nfe,
        "sigmas": np.asarray(recipe.sigmas).tolist(), "first": ranks.first,
    }  # fmt: skip


def score(
    out: str, ref: str, data: str | None, seeds: str | None, net: str | None, **o: Any
) -> dict[str, Any]:
    """Scores of OUT's images, or of those in `data`, written to OUT/scores-FIRST-LAST.json.

    If `net` is given, the images must be that network's.
    """
    ranks = join(o["device"])
    folder = Path(out)
    images: Batches
    if data is None:
        if o["batch"] is not None:
            raise ValueError(f"batch must come with data, got {o['batch']} for {out}")
        images, about = shards_in(folder)
        if net is not None and weights_of(net) != about["key"]["weights"]:
            raise ValueError(f"{out}: the images must be those of net, got another network's")
        wanted = parse_seeds(seeds or "0-49999")
        lost = images.missing(wanted)
        if lost:
            at = f"{lost[0] * images.batch}"
            raise ValueError(f"{out}: the images of all seeds must be there, got none of {at}")
        kept, key = folder / "features", about["key"]
    else:
        given = read_data(data)
        images = Given(given, o["batch"] or BATCH)
        wanted = range(len(given)) if seeds is None else parse_seeds(seeds)
        if wanted.stop > len(given):
            raise ValueError(f"seeds must be below the {len(given)} images, got {seeds}")
        key = {"data": data, "fingerprint": given.fingerprint()}
        kept = make_folder(folder) / f"features-{key['fingerprint']}-{images.batch}"
    extractors = _extractors(ranks, o)
    if not extractors:
        raise ValueError("inception or dino must be given, got neither")
    found = scores(images, wanted, read_reference(ref), extractors, kept, ranks)
    if ranks.first:
        found["images_of"] = key
        write_json(folder / f"scores-{wanted.start}-{wanted.stop - 1}.json", found)
    ranks.wait()
    return found


def table(net: str, out: str, ref: str, seeds: tuple[str, ...], **o: Any) -> dict[str, Any]:
    """Profile, levels, images and scores for a printed row, for every range of seeds."""
    if o["preset"] is None:
        raise ValueError("preset must be given, got none")
    chosen, ranks = preset(o["preset"]), join(o["device"])
    if not Path(net).is_file():
        raise ValueError(f"net must be a published file for a printed row, got {net}")
    ranges = [parse_seeds(text) for text in seeds] or list(SEED_RANGES)
    reference, extractors = read_reference(ref), _extractors(ranks, o)
    _check_metrics(chosen, reference, extractors)
    opened = _opened(net, ranks, o)
    folder = make_folder(Path(out))
    if draws_on_profile(chosen.schedule) and o["profile"] is None:
        if ranks.first and not (folder / PROFILE).exists():
            if o["data"] is None:
                raise ValueError("data or profile must be given for this row, got neither")
            _measured(opened, o["data"], folder / PROFILE, ranks, o | {"batch": None})
        ranks.wait()
    recipe, source = recipe_of(opened, folder, chosen, o)
    calls, place, found = int(recipe.table(opened).nfe), folder / chosen.name, []
    for wanted in ranges:
        generate_images(opened, recipe, wanted, place, ranks, None, source)
        images, _ = shards_in(place)
        found.append(scores(images, wanted, reference, extractors, place / "features", ranks))
        if ranks.first:
            write_json(place / f"scores-{wanted.start}-{wanted.stop - 1}.json", found[-1])
        ranks.wait()
    if not ranks.first:
        return {}
    key = recipe.key(opened, ranks.device)
    rows = tables.rows_of(chosen, found, key, calls, Path(net).name)
    kept = tables.keep(rows, folder)
    return {
        "kind": "table",
        "preset": chosen.name,
        "rows": rows,
        "text": tables.text(kept, chosen.name),
    }


def _opened(net: str, ranks: Ranks, o: dict[str, Any]) -> Network:
    """The network of `--net`, on this process's device."""
    null = None
    if o.get("guidance") is not None and o.get("condition") is not None:
        arrays = read_arrays(o["condition"])
        null = {name.removeprefix("null_"): rows for name, rows in arrays.items()
                if name.startswith("null_")}  # fmt: skip
    official: dict[str, Any] = {name: o.get(name) for name in ("sha256", "vae", "compiled")}
    opened = open_network(
        net, ranks.device.type, o["precision"], guidance=o.get("guidance"), null=null, **official
    )
    if opened.condition not in (None, "class_labels") and o.get("condition") is None:
        raise ValueError(f"condition must be given, {opened.condition} by name, got none")
    return opened


def _measured(
    opened: Network, data: str, target: Path, ranks: Ranks, o: dict[str, Any]
) -> dict[str, Any]:
    """The profile; levels that the file beside it has already are not measured again."""
    seed = o.get("seed") or 0
    check_seed(seed)
    levels = LEVELS if o.get("levels") is None else o["levels"]
    grid = edm_levels(levels, opened.sigma_min, opened.sigma_max)
    more = {"precision": o["precision"] or "authors'", "guidance": o.get("guidance")}
    more |= {"device": ranks.device.type}
    batch = o["batch"] or BATCH
    with fitting(batch):
        return measured_profile(
            opened, read_data(data, MOST_IMAGES), target, grid, o.get("samples"), batch, seed,
            ranks.device, o.get("condition"), more,
        )  # fmt: skip


def _extractors(ranks: Ranks, o: dict[str, Any]) -> list[Extractor]:
    """The feature networks that the options name."""
    found = []
    if o["inception"] is not None:
        net = load_inception(
            o["inception"], sha256=o["inception_sha256"], trust=o["trust"], device=ranks.device
        )
        tag = f"inception-{weights_hash([Path(o['inception'])])}-{ranks.device.type}"
        found.append(Extractor("inception", tag, net, net.missing, ranks.device))
    if o["dino"] is not None:
        from benchmarks.imagenet.dino import load_dino  # it takes seconds to import

        positions = o["dino_positions"]
        dino = load_dino(o["dino"], positions=positions, device=ranks.device)
        tag = f"dinov2-{positions}-{folder_hash(o['dino'])}-{ranks.device.type}"
        found.append(Extractor("dinov2", tag, dino, {}, ranks.device))
    return found


def _check_metrics(chosen: Preset, reference: Reference, extractors: list[Extractor]) -> None:
    """Refuse a table that could have none of the row's metrics, before hours of work are spent."""
    makers = {e.name for e in extractors}
    for metric in chosen.published:
        feature = FRECHET.get(metric)
        maker = "dinov2" if feature == "dinov2" else "inception"
        if maker in makers and (feature is None or getattr(reference, feature) is not None):
            return
    needed = ", ".join(PRINTED[m] for m in chosen.published)
    got = ", ".join(sorted(makers)) or "neither inception nor dino"
    raise ValueError(
        f"inception or dino must be given for {needed}, with a reference that has them, got "
        f"{got} and {reference.source}"
    )
