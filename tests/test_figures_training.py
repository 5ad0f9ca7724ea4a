"""What the figures of training studies draw is what their tables say."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.studies import digits_schedules as digits_study
from benchmarks.studies import infonoise_emergence as emergence_study
from benchmarks.studies import infonoise_transfer as transfer_study
from benchmarks.studies import learned_profile as profile_study
from figures import (
    digits_schedules,
    infonoise_emergence,
    infonoise_transfer,
    learned_profile,
    registry,
    spectral_profile,
)
from figures.parts import digits_images, infonoise_speedup, style
from tests.test_studies_training import (
    GRID,
    emergence_rows,
    image_rows,
    profile_rows,
    score_rows,
    transfer_rows,
)
from theory.writing import write_bytes


def transfer_table() -> pd.DataFrame:
    return transfer_study.transfer_table(transfer_rows())


def emergence_table() -> pd.DataFrame:
    return emergence_study.emergence_table(emergence_rows())


def profile_table() -> pd.DataFrame:
    return profile_study.profile_table(profile_rows())


def schedules_table() -> pd.DataFrame:
    return digits_study.schedules_table(score_rows(), image_rows())


def spectral_table() -> pd.DataFrame:
    """Three rings that settle one after the other, and time changes that all differ."""
    parts = []
    shares = {"rescaled": 1.0, "spectral_mean": 1.2, "spectral_rms": 1.1, "edm": 3.0}
    for name, c in (*shares.items(), (0.0, 2.0), (1.0, 1.0), (2.0, 0.5)):
        share = np.arctan(GRID / c)
        share = (share - share[0]) / (share[-1] - share[0])
        columns = {"sigma": GRID, "share": share, "mmse": GRID**2 * c / (c + GRID**2)}
        kind = name if isinstance(name, str) else "ring"
        cycles = np.nan if isinstance(name, str) else name
        parts.append(pd.DataFrame(columns).assign(kind=kind, cycles=cycles))
    for kind, factor in (("amplitude_mean", 1.0), ("amplitude_rms", 1.2)):
        columns = {"cycles": [0.0, 1.0, 2.0], "share": [factor * v for v in (3.0, 1.0, 0.3)]}
        parts.append(pd.DataFrame(columns).assign(kind=kind))
    return pd.concat(parts, ignore_index=True)


TABLES = {
    "infonoise_transfer": transfer_table,
    "infonoise_emergence": emergence_table,
    "learned_profile": profile_table,
    "spectral_profile": spectral_table,
    "digits_schedules": schedules_table,
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return {name: registry.draw(name, table()) for name, table in TABLES.items()}


@pytest.fixture(scope="module")
def redrawn() -> dict[str, Figure]:
    """The same figures from shuffled rows."""
    shuffled = {name: table().sample(frac=1.0, random_state=3) for name, table in TABLES.items()}
    return {name: registry.draw(name, table) for name, table in shuffled.items()}


def line(ax: Axes, gid: str) -> Line2D:
    (found,) = [one for one in ax.get_lines() if one.get_gid() == gid]
    return found


def data(one: Line2D) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(one.get_xdata(), float), np.asarray(one.get_ydata(), float)


def shows(ax: Axes, gid: str, x: object, y: object) -> None:
    """The line of that gid has exactly these points."""
    for found, wanted in zip(data(line(ax, gid)), (x, y), strict=True):
        np.testing.assert_array_equal(found, np.asarray(wanted, float))


def words(ax: Axes) -> dict[str, str]:
    return {str(text.get_gid()): text.get_text() for text in ax.texts if text.get_gid()}


@pytest.mark.parametrize("name", TABLES)
def test_nothing_is_cut_off_and_the_caption_stands_clear_below(
    drawn: dict[str, Figure], name: str
) -> None:
    figure = drawn[name]
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert box.x0 >= 0.0
    assert box.y0 >= 0.0
    assert box.x1 <= width
    assert box.y1 <= height
    (text,) = [text for text in figure.texts if text.get_gid() == "caption"]
    top = text.get_window_extent().y1
    assert top <= min(ax.get_tightbbox().y0 for ax in figure.axes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "infonoise_transfer",
            "trained for 16 kex|Seeds: 3; 5 evaluations|5000 samples|NFE 63 (15 points, 4 Gaussians"
            "), 15 (digits)|devices: cpu|Q* is set by EDM and its weight (15 points, 1), EDM "
            "log-normal (4 Gaussians, 1), EDM log-normal (digits, 1)|"
            "median run reaches Q* on 2 of 3|15 points at most 1.00|4 Gaussians 0.50|"
            "digits 2.00 (2.00 to 2.00)|above 1 on 1 targets|below 1.5 on|"
            "final rank: 3 of 4 (15 points), 1.5 of 3 (4 Gaussians)",
        ),
        (
            "infonoise_emergence",
            "seed 0|4 log-spaced evaluations|7 bins from σ = 0.01 to 10|4 refreshes apart|15 points"
            " 0.0375 to 0.075, at the end 0.0375 by knee|digits 0.0375 to 0.075, at the end 0.0375 "
            "by onset|Last distances|below 0.01 in 0 of 3",
        ),
        (
            "learned_profile",
            "40 levels of EDM's grid, σ from 0.002 to 80|597 or 1024 clean samples|terminal policy "
            "zero|training over exact: median ratio 1, at most 1.05 at σ = 0.0898|"
            "Held out over exact|digits, held out over training|and 0 below|"
            "At 13 levels the network is worse",
        ),
        (
            "spectral_profile",
            "40 levels|σ 0.002 to 80|trapezoid|for 0, 1, 2 cycles|at 0.98|spectral 0.0|"
            "at 0 of 120 levels",
        ),
        (
            "digits_schedules",
            "terminal policy: zero|700 samples, seed 3|device: cpu|within 5 %|0.1 (digits)|"
            "Not drawn: 6 scores|noise in all rows, seed 8|wins in 6 cells|of 4 cells with DDIM "
            "and stochastic DDIM|of 2 with Heun|spectral is below rescaled",
        ),
    ],
)
def test_caption_tells_settings_and_outcome(drawn: dict[str, Figure], name: str, text: str) -> None:
    found = style.caption_text(drawn[name])
    for word in text.split("|"):
        assert word in found


@pytest.mark.slow  # test_figures.py tests this on quick figures among the fast tests
@pytest.mark.parametrize("name", TABLES)
def test_saved_files_are_the_same_bytes_in_any_order_of_rows(
    drawn: dict[str, Figure],
    redrawn: dict[str, Figure],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "DPI", 50)  # only to be quick
    first, again = (
        [
            path.read_bytes()
            for path in registry.save(figures[name], tmp_path / folder, name, write_bytes)
        ]
        for figures, folder in ((drawn, "new"), (redrawn, "again"))
    )
    assert first == again


@pytest.mark.parametrize("name", TABLES)
def test_tables_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    TABLES[name]().to_csv(tmp_path / "table.csv", index=False)
    registry.draw(name, pd.read_csv(tmp_path / "table.csv")).draw_without_rendering()


def transfer_panels(figure: Figure) -> dict[str, tuple[Axes, Axes]]:
    targets = ("points", "mixture", "digits")
    return {t: (figure.axes[2 * i], figure.axes[2 * i + 1]) for i, t in enumerate(targets)}


def test_scores_are_medians_with_bands_and_q_star_and_floor_are_lines(
    drawn: dict[str, Figure],
) -> None:
    table = transfer_table()
    for target, (ax, _) in transfer_panels(drawn["infonoise_transfer"]).items():
        curves = table[(table["kind"] == "curve") & (table["target"] == target)]
        bands = {str(band.get_gid()): band for band in ax.collections}
        for method, mine in curves.groupby("method"):
            shows(ax, f"score {method}", mine["kex"], mine["score"])
            edge = bands[f"band {method}"].get_paths()[0].vertices
            assert {*mine["low"], *mine["high"]} == set(edge[:, 1])
        assert data(line(ax, "Q*"))[1].tolist() == [1.0, 1.0]
        assert data(line(ax, "real"))[1].tolist() == [0.5, 0.5]


def test_every_run_is_a_dot_or_a_triangle_beyond_the_budget(drawn: dict[str, Figure]) -> None:
    table = transfer_table()
    for target, (score, ax) in transfer_panels(drawn["infonoise_transfer"]).items():
        runs = table[(table["kind"] == "run") & (table["target"] == target)]
        names = [label.get_text() for label in ax.get_yticklabels()]
        for method, mine in runs.groupby("method"):
            reached = mine["reached"].astype(bool)
            dots, never = data(line(ax, f"run {method}")), data(line(ax, f"never {method}"))
            assert dots[0].tolist() == sorted(mine.loc[reached, "kex"])
            assert len(never[0]) == int((~reached).sum())
            zone = infonoise_transfer.NEVER * 16.0, infonoise_transfer.END * 16.0
            assert ((zone[0] < never[0]) & (never[0] < zone[1])).all()
            place = names.index(style.TRAINING[str(method)].label)
            assert {*dots[1], *never[1]} == {place}
            median = data(line(ax, f"median {method}"))
            assert median[0].tolist() == [mine["kex"].median()]
        assert ax.get_xlim() == score.get_xlim()


def test_speedups_are_the_table_and_bounds_are_hollow(drawn: dict[str, Figure]) -> None:
    table = transfer_table()
    found = table[table["kind"] == "target"].set_index("target")
    ax = drawn["infonoise_transfer"].axes[-1]
    for i, (target, row) in enumerate(found.iterrows()):
        shows(ax, f"speedup {target}", [row["speedup"]], [i])
        shows(ax, f"interval {target}", [row["low"], row["high"]], [i, i])
        mark = line(ax, f"speedup {target}")
        assert mark.get_marker() == infonoise_speedup.MARKS[row["bound"]]
        assert (mark.get_markerfacecolor() == "white") == (row["bound"] != "exact")
    printed = {str(band.get_gid()): band for band in ax.collections}
    assert set(printed) == {"printed points", "printed digits"}
    span = printed["printed points"].get_paths()[0].vertices[:, 0]
    assert (span.min(), span.max()) == (1.5, 2.8)
    text = words(ax)
    assert text["words points"].startswith("15 points: at most 1.00 (")
    assert text["counts points"] == "runs that reach Q*: InfoNoise 1/3, EDM and its weight 2/3"


def test_a_ratio_of_two_censored_medians_is_not_told() -> None:
    table = transfer_table()
    table.loc[table["target"] == "points", "bound"] = "open"
    figure = infonoise_transfer.draw(table)
    assert words(figure.axes[-1])["words points"] == "15 points: not known"
    assert "15 points not known" in style.caption_text(figure)


def columns(figure: Figure) -> dict[str, list[Axes]]:
    """The four panels of a target."""
    targets = ("points", "mixture", "digits")
    return {target: figure.axes[i::3] for i, target in enumerate(targets)}


def test_densities_emphases_pivots_and_distances_are_the_table(drawn: dict[str, Figure]) -> None:
    table = emergence_table()
    for target, axes in columns(drawn["infonoise_emergence"]).items():
        density, emphasis, pivot, distance = axes
        mine = table[table["target"] == target]
        levels = mine[mine["kind"] == "level"]
        for kex, gid in ((2.0, "warm-up"), (4.0, "4"), (8.0, "8")):
            rows = levels[levels["kex"] == kex]
            shows(density, f"density {gid}", rows["sigma"], rows["density"])
        last = levels[levels["kex"] == 8.0]
        shows(emphasis, "emphasis final", last["sigma"], last["emphasis"])
        shows(emphasis, "aim", last["sigma"], last["gated_rate"])
        found = mine[(mine["kind"] == "evaluation") & (mine["refreshes"] > 0)]
        for rule, rows in found.groupby("rule"):
            shows(pivot, f"pivot {rule}", rows["kex"], rows["pivot"])
            marker, colour = infonoise_emergence.RULES[str(rule)]
            assert line(pivot, f"pivot {rule}").get_marker() == marker
            assert to_rgb(line(pivot, f"pivot {rule}").get_color()) == to_rgb(colour)
        shows(distance, "distance", found["kex"], found["distance"])


def test_later_densities_are_darker_the_same_share_the_same_shade(
    drawn: dict[str, Figure],
) -> None:
    shades = {}
    for axes in columns(drawn["infonoise_emergence"]).values():
        for kex in ("4", "8"):
            shades.setdefault(kex, set()).add(line(axes[0], f"density {kex}").get_color())
    assert all(len(colours) == 1 for colours in shades.values())
    light, dark = (sum(to_rgb(shades[kex].pop())) for kex in ("4", "8"))
    assert light > dark


def test_a_run_that_never_refreshed_is_drawn_with_its_warm_up_alone() -> None:
    table = emergence_table()
    alone = (table["target"] == "points") & (table["refreshes"] > 0)
    infonoise_emergence.draw(table[~alone]).draw_without_rendering()


def test_profiles_ratios_rates_and_levels_are_the_table(drawn: dict[str, Figure]) -> None:
    table = profile_table()
    for i, target in enumerate(learned_profile.ORDER):
        mmse, ratio, rate, strip = drawn["learned_profile"].axes[4 * i : 4 * i + 4]
        mine = table[table["target"] == target]
        ticks = {str(part.get_gid()): part for part in strip.collections}
        bands = {str(part.get_gid()): part for part in ratio.collections}
        for name, rows in mine.groupby("of"):
            levels = rows[(rows["kind"] == "level") & (rows["sigma"] > 0)]
            rows = rows[rows["kind"] == "profile"]
            shows(mmse, f"mmse {name}", rows["sigma"], rows["mmse"] / rows["dim"])
            shows(rate, f"rate {name}", rows["sigma"], rows["rate"])
            places = np.array(ticks[f"ticks {name}"].get_segments())[:, 0, 0]
            np.testing.assert_array_equal(places, sorted(levels["sigma"]))
            if name != rows["base"].iloc[0]:
                shows(ratio, f"ratio {name}", rows["sigma"], rows["ratio"])
                edge = bands[f"band {name}"].get_paths()[0].vertices[:, 1]
                assert edge.max() == (rows["ratio"] + rows["ratio_stderr"]).max()
        assert data(line(rate, "identity"))[1].tolist() == [mine["dim"].iloc[0]] * 2


def test_learned_errors_below_the_exact_one_are_counted() -> None:
    table = profile_table()
    low = (table["of"] == "train") & (table["target"] == "mixture") & (table["sigma"] > 10)
    low &= table["kind"] == "profile"
    table.loc[low, "ratio"] = 0.9
    text = style.caption_text(learned_profile.draw(table))
    assert f"standard errors and {int(low.sum())} below" in text


def test_rings_time_changes_risks_and_amplitudes_are_the_table(drawn: dict[str, Figure]) -> None:
    table = spectral_table()
    split, whole, risk, amplitude = drawn["spectral_profile"].axes[:4]
    for cycles, rows in table[table["kind"] == "ring"].groupby("cycles"):
        shows(split, f"ring {cycles:g}", rows["sigma"], rows["share"])
        shows(risk, f"risk {cycles:g}", rows["sigma"], rows["mmse"])
    (inner,) = whole.child_axes
    base = table.loc[table["kind"] == "rescaled", "share"].to_numpy()
    for kind in spectral_profile.LOOKS:
        rows = table[table["kind"] == kind]
        shows(whole, kind, rows["sigma"], rows["share"])
        if kind.startswith("spectral"):
            shows(inner, f"difference {kind}", rows["sigma"], rows["share"] - base)
    for kind in spectral_profile.AMPLITUDES:
        rows = table[table["kind"] == kind]
        shows(amplitude, kind, rows["cycles"], rows["share"])


PANELS = tuple(itertools.product(digits_schedules.SCORES, ("ddim", "stochastic_ddim", "heun")))


def test_scores_winners_and_floor_are_the_table(drawn: dict[str, Figure]) -> None:
    table = schedules_table()
    for i, (target, solver) in enumerate(PANELS):
        ax = drawn["digits_schedules"].axes[i]
        mine = table[(table["target"] == target) & (table["solver"] == solver)]
        scores, wins = mine[mine["kind"] == "score"], mine[mine["kind"] == "winner"]
        for schedule, rows in scores.groupby("schedule"):
            shows(ax, f"score {schedule}", rows["nfe"], rows["score"])
        best = scores.sort_values("score").groupby("calls").first()
        shows(ax, "best", best["nfe"], best["score"])
        assert best["schedule"].tolist() == wins.sort_values("calls")["schedule"].tolist()
        assert data(line(ax, "floor"))[1].tolist() == [0.1, 0.1]


def test_images_are_the_pixels_with_the_reference_on_top(drawn: dict[str, Figure]) -> None:
    table = image_rows()
    for ax, nfe in zip(drawn["digits_schedules"].axes[len(PANELS) :], (6, 16), strict=False):
        (image,) = ax.get_images()
        shown = np.ma.filled(image.get_array(), np.nan)
        assert shown.shape == (7 * 3, 2 * 3 - 1)
        order = [(128, "edm"), *((nfe, name) for name in style.NETWORK_SCHEDULES)]
        for row, (calls, schedule) in enumerate(order):
            mine = table[(table["nfe"] == calls) & (table["schedule"] == schedule)]
            for i, pixels in mine.groupby("image"):
                part = shown[3 * row : 3 * row + 2, 3 * int(i) : 3 * int(i) + 2]
                np.testing.assert_array_equal(part.ravel(), pixels["value"])
        assert np.isnan(shown[2::3]).all()
        assert np.isnan(shown[:, 2]).all()


def test_cells_have_the_winners_colour_and_edms_multiple(drawn: dict[str, Figure]) -> None:
    table = schedules_table()
    axes = drawn["digits_schedules"].axes[-2:]
    for ax, target in zip(axes, digits_schedules.SCORES, strict=True):
        cells = {str(patch.get_gid()): patch for patch in ax.patches}
        wins = table[(table["kind"] == "winner") & (table["target"] == target)]
        for _, row in wins.iterrows():
            name = f"{row['solver']} {int(row['calls'])}"
            colour = style.NETWORK_SCHEDULES[row["schedule"]].colour
            assert to_rgb(cells[f"cell {row['schedule']} {name}"].get_facecolor()) == to_rgb(colour)
            assert words(ax)[f"ratio {name}"] == f"{row['edm_over_best']:.2f}"
            assert (f"inset {name}" in cells) == (row["lead"] < digits_images.CLOSE)


def test_schedules_draw_when_edm_is_lost_in_a_cell() -> None:
    rows = score_rows()
    lost = (rows["schedule"] == "edm") & (rows["solver"] == "heun") & (rows["calls"] == 5)
    rows.loc[lost, "score"] = None
    figure = digits_schedules.draw(digits_study.schedules_table(rows, image_rows()))
    assert words(figure.axes[-1])["ratio heun 5"] == "–"


@pytest.mark.parametrize(
    ("name", "column", "old", "new", "rule"),
    [
        ("infonoise_transfer", "method", "edm", "cosine", "method must be one of log_uniform, "),
        ("infonoise_emergence", "rule", "onset", "guess", "rule must be one of none, onset, "),
        ("learned_profile", "of", "train", "guess", "of must be one of exact, train, "),
        ("spectral_profile", "kind", "ring", "circle", "kind must be one of ring, rescaled, "),
        ("digits_schedules", "schedule", "edm", "cosine", "schedule must be one of edm, "),
    ],
)
def test_what_has_no_look_is_refused(name: str, column: str, old: str, new: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"{rule}.*, got {new}"):
        registry.draw(name, TABLES[name]().replace({column: {old: new}}))


@pytest.mark.parametrize("looks", [style.NETWORK_SCHEDULES, style.TRAINING])
def test_looks_differ_in_marker_line_and_colour(looks: dict[str, style.Look]) -> None:
    """Colours differ both for normal vision and for deuteranopes."""
    from tests.test_figures import DEUTERANOPIA, gap

    assert len({look.marker for look in looks.values()}) == len(looks)
    assert len({(look.line, look.width) for look in looks.values()}) == len(looks)
    pairs = itertools.combinations([look.colour for look in looks.values()], 2)
    for pair in pairs:
        assert min(gap(*pair, eye) for eye in (np.eye(3), DEUTERANOPIA)) > 10.0
