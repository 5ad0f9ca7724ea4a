"""The pictures of the documentation are those that the figures' code draws today."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.engine.store import Store, write_csv
from benchmarks.studies.registry import TABLES
from figures import registry
from figures.parts import gallery
from theory.writing import write_bytes

FOLDER = Path(__file__).parents[1] / "docs" / "gallery"
MADE = json.loads((FOLDER / "made.json").read_text(encoding="utf-8"))
FROM_ROWS = (
    "bound_tightness",
    "claims_ledger",
    "digits_schedules",
    "infonoise_emergence",
    "infonoise_transfer",
    "phase_diagram",
    "spectral_profile",
)
FAR = 40  # of 255: a pixel of another colour, not of another smoothing


@pytest.mark.parametrize("name", TABLES)
def test_a_picture_is_made_by_todays_code(name: str) -> None:
    """`make gallery` makes it again."""
    assert MADE[name]["code"] == gallery.fingerprint(name)


@pytest.mark.parametrize("name", TABLES)
def test_a_picture_keeps_its_colours_and_fits_a_page(name: str) -> None:
    with Image.open(FOLDER / f"{name}.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width == gallery.WIDTH
    assert (FOLDER / f"{name}.png").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", FROM_ROWS)
def test_a_picture_shows_the_figure(name: str, tmp_path: Path) -> None:
    """Drawn again from its committed rows; other fonts may move a few pixels, not colours."""
    table = TABLES[name]("default", Store(tmp_path / "store"), 1)
    write_csv(table, tmp_path / f"{name}.csv")
    registry.save(registry.draw(name, table), tmp_path, name, write_bytes)
    assert gallery.write(tmp_path, tmp_path / "gallery") == [name]
    made = json.loads((tmp_path / "gallery" / "made.json").read_text(encoding="utf-8"))
    assert made[name]["table"] == MADE[name]["table"]
    with (
        Image.open(FOLDER / f"{name}.png") as kept,
        Image.open(tmp_path / "gallery" / f"{name}.png") as drawn,
    ):
        assert kept.size == drawn.size
        assert far_share(kept, drawn) < 2e-3


def test_a_changed_table_is_seen_and_rounding_is_not(tmp_path: Path) -> None:
    prints = []
    for i, value in enumerate(("0.30000000000000004", "0.3", "-0.0", "0.3001", "")):
        path = tmp_path / f"{i}.csv"
        path.write_text(f"kind,value\nlevel,1.0\nlevel,{value}\n", encoding="utf-8")
        prints.append(gallery.table_fingerprint(path))
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def far_share(one: Image.Image, two: Image.Image) -> float:
    """Share of pixels that differ by more than FAR in a channel."""
    gap = np.abs(np.asarray(one, dtype=int) - np.asarray(two, dtype=int))
    return float((gap.max(axis=2) > FAR).mean())


def test_other_colours_are_seen() -> None:
    """A picture whose lines all got one colour, as by a palette, is another picture."""
    with Image.open(FOLDER / "infonoise_emergence.png") as kept:
        values = np.array(kept)
    coloured = np.ptp(values.astype(int), axis=2) > FAR
    values[coloured] = (213, 94, 0)
    with Image.open(FOLDER / "infonoise_emergence.png") as kept:
        assert far_share(kept, Image.fromarray(values)) > 2e-3


def test_a_change_of_drawing_code_is_noticed_and_a_comment_is_not() -> None:
    assert gallery._code("x = 1  # one") == gallery._code("x = 1")
    assert gallery._code('"""A."""\nx = 1') == gallery._code('"""B."""\nx = 1')
    assert gallery._code("x = 1") != gallery._code("x = 2")
