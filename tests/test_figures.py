# ruff: noqa: RUF001  (Greek letters and minus signs are meant in what a figure says)
"""What the figures draw is what their tables say; nothing is computed here but tiny tables."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import information_window, kl_vs_steps, registry, style

STEPS = (2, 4, 8)
PAIRS = tuple(itertools.product(style.PROCESSES, list(style.TOYS)[1:4]))


def kl_table() -> pd.DataFrame:
    """Exact rows at 2, 4, 8 and sampled rows at 4; three values are infinite."""
    rows = []
    cases = itertools.product(PAIRS, enumerate(style.SCHEDULES), STEPS, (0, 100))
    for (process, toy), (i, label), n, paths in cases:
        if paths and n != 4:
            continue
        rows.append(
            {
                "toy": toy,
                "process": process,
                "label": label,
                "solver": "stochastic_ddim",
                "n_steps": n,
                "terminal": "zero" if toy == "points15" else "stop",
                "sigma_max": 152.0 if process == "vp" else 80.0,
                "sigma_min": 0.01 if process == "vp" else 0.002,
                "paths": paths,
                "repeats": 3 if paths else 0,
                "seed": 7 if paths else None,
                "kl_data_model": (1.0 + i) / n**2 + (0.01 if paths else 0.0),
                "error": None if paths else 1e-9,
                "infinite_repeats": 0 if paths else None,
                "sd": 0.02 * (1 + i) if paths else None,
                "kl_finite_mean": (1.0 + i) / n**2 + 0.01 if paths else None,
            }
        )
    table = pd.DataFrame(rows)
    first = (table["toy"] == "points15") & (table["process"] == "vp") & (table["n_steps"] == 4)
    every = first & (table["label"] == "standard") & (table["paths"] > 0)
    table.loc[every, ["kl_data_model", "kl_finite_mean", "sd"]] = None
    table.loc[every, "infinite_repeats"] = 3
    some = first & (table["label"] == "entropic") & (table["paths"] > 0)
    table.loc[some, "kl_data_model"] = None
    table.loc[some, "infinite_repeats"] = 1
    exact = first & (table["label"] == "rescaled") & (table["paths"] == 0)
    table.loc[exact, "kl_data_model"] = None
    return table


def entropic_table() -> pd.DataFrame:
    """Two paths and an entropy that is linear in entropic time."""
    share = np.linspace(0.0, 1.0, 21)
    shared = {"sigma": np.geomspace(0.01, 152.0, 21), "time": share**0.5, "entropic_time": share}
    values = {-1: np.log(2.0) * share, 0: 1.0 + share, 1: -1.0 + 0.5 * share}
    parts = [
        pd.DataFrame(shared).assign(kind="path" if i >= 0 else "entropy", path=i, value=value)
        for i, value in values.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(toy="two_points", process="vp", seed=1)


def window_table() -> pd.DataFrame:
    """A coarse map and curves with made-up values of the right shape."""
    sigma, x = np.geomspace(0.1, 4.0, 12), np.linspace(-3.0, 3.0, 7)
    grid = pd.DataFrame(list(itertools.product(sigma, x)), columns=["sigma", "x"])
    grid = grid.assign(
        kind="field",
        density=np.exp(-(grid["x"] ** 2)) / grid["sigma"],
        denoised=np.tanh(grid["x"] / grid["sigma"] ** 2),
        posterior_entropy=0.6 / (1.0 + grid["x"] ** 2),
    )
    curve = pd.DataFrame(
        {
            "kind": "curve",
            "sigma": sigma,
            "posterior_entropy": np.linspace(0.0, 0.69, 12),
            "rate": np.exp(-((np.log(sigma / 0.6)) ** 2)),
            "rate_log_sigma": 0.5 * np.exp(-((np.log(sigma / 0.8)) ** 2)),
            "fixed_point": np.sqrt(np.maximum(1.0 - sigma, 0.0)),
            "curvature_at_0": (1.0 / sigma**2 - 1.0) / sigma**2,
        }
    )
    return pd.concat([grid, curve], ignore_index=True).assign(toy="two_points")


def boundary_table() -> pd.DataFrame:
    """The six curves, those of two points underflowing to 0 at low noise."""
    sigma = np.geomspace(0.002, 80.0, 30)
    parts = []
    for toy in ("gaussian", "gaussians15_overlap", "two_points", "points15"):
        data = "discrete" if "points" in toy else "continuous"
        for error in (0.0, 0.01) if data == "discrete" else (0.0,):
            mmse = 1.0 / (1.0 + sigma**-2)
            if toy == "two_points":
                mmse = np.where(sigma < 0.03, 0.0, mmse)
            rate = (mmse + error**2) / sigma**3
            rows = {"toy": toy, "data": data, "denoiser_error": error, "sigma": sigma}
            rows |= {"rate": rate, "slope": np.where(rate > 0, -1.0, np.nan), "pivot": 0.5 + error}
            parts.append(pd.DataFrame(rows).assign(gated_rate=rate * sigma**3))
    return pd.concat(parts, ignore_index=True)


TABLES = {
    "entropic_time": entropic_table,
    "kl_vs_steps": kl_table,
    "information_window": window_table,
    "low_noise_boundary": boundary_table,
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return {name: registry.draw(name, table()) for name, table in TABLES.items()}


@pytest.fixture(scope="module")
def redrawn() -> dict[str, Figure]:
    """The same figures from shuffled rows."""
    shuffled = {name: table().sample(frac=1.0, random_state=3) for name, table in TABLES.items()}
    return {name: registry.draw(name, table) for name, table in shuffled.items()}


def lines(figure: Figure, gid: str) -> list[Line2D]:
    """All lines whose gid starts so, panel by panel."""
    found = [line for ax in figure.axes for line in ax.get_lines()]
    return [line for line in found if str(line.get_gid()).startswith(gid)]


def data(line: Line2D) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def panel_rows(panel: int) -> pd.DataFrame:
    """The rows of the steps table that belong to one panel."""
    process, toy = PAIRS[panel]
    table = kl_table()
    return table[(table["process"] == process) & (table["toy"] == toy)]


def test_every_figure_has_a_table_here_and_a_module() -> None:
    assert set(TABLES) == set(registry.FIGURES)
    with pytest.raises(ValueError, match=r"figure must be one of entropic_time, .*, got nonsense"):
        registry.draw("nonsense", pd.DataFrame())


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
    ("name", "words"),
    [
        ("entropic_time", "stochastic DDIM|terminal: stop|2 paths|seed 1|0.01 to 152|not in"),
        ("information_window", "no process, solver, steps, terminal|12 × 7|0.6438|0.8142|not in"),
        ("low_noise_boundary", "no process, solver, steps, terminal|30 log|cut at 10⁻⁶|third part"),
        (
            "kl_vs_steps",
            "stochastic DDIM|N = 2, 4, 8|stop for 15 Gaussians|zero for 15 points|100 paths|"
            "3 repeats|seed 7|bandwidth 10⁻²|10³|EDM, σ 0.002 to 80|β 0.1 to 20|does not state",
        ),
    ],
)
def test_caption_tells_the_settings(drawn: dict[str, Figure], name: str, words: str) -> None:
    text = style.caption_text(drawn[name])
    for word in words.split("|"):
        assert word in text


@pytest.mark.parametrize("panel", range(len(PAIRS)))
def test_exact_lines_are_the_table(drawn: dict[str, Figure], panel: int) -> None:
    rows = panel_rows(panel)
    for label in style.SCHEDULES:
        (line,) = [
            line
            for line in drawn["kl_vs_steps"].axes[panel].get_lines()
            if line.get_gid() == f"exact {label}"
        ]
        mine = rows[(rows["label"] == label) & (rows["paths"] == 0)]
        np.testing.assert_array_equal(data(line)[0], mine["n_steps"])
        np.testing.assert_array_equal(data(line)[1], mine["kl_data_model"])
        assert line.get_color() == style.SCHEDULES[label].colour


def test_step_axes_are_logarithmic_and_ticked_at_the_steps(drawn: dict[str, Figure]) -> None:
    for ax in drawn["kl_vs_steps"].axes:
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert tuple(ax.get_xticks()) == STEPS
        low, high = ax.get_ylim()
        for line in ax.get_lines():
            if str(line.get_gid()).startswith(("exact", "sampled", "finite")):
                values = data(line)[1]
                assert ((low < values) & (values < high) | np.isnan(values)).all()


@pytest.mark.parametrize("panel", range(len(PAIRS)))
def test_marks_are_the_table_with_bars_of_one_sd(drawn: dict[str, Figure], panel: int) -> None:
    ax = drawn["kl_vs_steps"].axes[panel]
    rows = panel_rows(panel)
    rows = rows[(rows["paths"] > 0) & rows["kl_data_model"].notna()].set_index("label")
    marks = {str(m.get_gid()): m for m in ax.get_lines()}
    bars = {str(bar.get_gid()): bar for bar in ax.collections}
    for label, row in rows.iterrows():
        x, y = data(marks[f"sampled {label}"])
        assert y.tolist() == [row["kl_data_model"]]
        assert abs(np.log2(x[0] / 4.0)) < 0.25  # beside N = 4, nearer to it than to 3 or 5
        (bar,) = bars[f"sd {label}"].get_segments()
        ends = row["kl_data_model"] + np.array([-1.0, 1.0]) * row["sd"]
        np.testing.assert_allclose(bar[:, 1], ends, rtol=1e-14)  # one rounding


def test_no_row_of_the_table_is_dropped(drawn: dict[str, Figure]) -> None:
    figure, table = drawn["kl_vs_steps"], kl_table()
    shown = {
        gid: sum(int(np.isfinite(data(line)[1]).sum()) for line in lines(figure, gid))
        for gid in ("exact", "sampled", "infinite")
    }
    assert sum(shown.values()) == len(table)
    assert shown["infinite"] == table["kl_data_model"].isna().sum() == 3


def test_infinite_values_stand_in_a_named_band_with_their_counts(drawn: dict[str, Figure]) -> None:
    figure = drawn["kl_vs_steps"]
    names = {
        "infinite standard sampled": "white",
        "infinite entropic sampled": "white",
        "infinite rescaled exact": style.SCHEDULES["rescaled"].colour,
    }
    marks = lines(figure, "infinite")
    assert {str(m.get_gid()): m.get_markerfacecolor() for m in marks} == names
    ax = figure.axes[0]
    assert all(mark in ax.get_lines() for mark in marks)
    (band,) = [patch for patch in ax.patches if patch.get_gid() == "band"]
    box = band.get_window_extent()
    for mark in marks:
        x, y = mark.get_transform().transform(np.column_stack(data(mark)))[0]
        assert box.y0 < y < box.y1
        assert abs(np.log2(ax.transData.inverted().transform((x, y))[0] / 4.0)) < 0.25
    assert [t.get_text() for t in ax.texts if t.get_gid() == "count"] == ["1–3/3"]
    assert "∞" in [label.get_text() for label in ax.get_yticklabels()]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"Monte Carlo infinite", "its finite repeats", "exact law infinite"} < set(legend)


def test_finite_repeats_of_an_infinite_mean_are_hollow_marks(drawn: dict[str, Figure]) -> None:
    marks = [m for m in lines(drawn["kl_vs_steps"], "finite") if len(data(m)[0])]
    assert [m.get_gid() for m in marks] == ["finite entropic"]
    assert data(marks[0])[1].tolist() == [4.0 / 16.0 + 0.01]
    assert marks[0].get_markerfacecolor() == "white"


def test_steps_figure_without_infinite_values_has_no_band() -> None:
    table = kl_table()
    figure = kl_vs_steps.draw(table[table["kl_data_model"].notna()])
    assert not [patch for ax in figure.axes for patch in ax.patches]
    assert not lines(figure, "infinite")


def test_steps_figure_draws_a_table_that_is_all_infinite_or_all_exact() -> None:
    table = kl_table()
    nothing = table.assign(kl_data_model=None, kl_finite_mean=None, sd=None)
    figure = kl_vs_steps.draw(nothing)
    figure.draw_without_rendering()
    assert len(lines(figure, "infinite")) == len(table)
    figure = kl_vs_steps.draw(table[table["paths"] == 0])
    assert "Monte Carlo" not in style.caption_text(figure)


def test_steps_figure_refuses_what_it_has_no_look_for() -> None:
    with pytest.raises(ValueError, match=r"label must be one of standard, .*, got cosine"):
        kl_vs_steps.draw(kl_table().replace({"label": {"edm": "cosine"}}))


def test_legend_has_every_schedule_once(drawn: dict[str, Figure]) -> None:
    (legend,) = drawn["kl_vs_steps"].legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert all(shown.count(look.label) == 1 for look in style.SCHEDULES.values())


# Machado, Oliveira and Fernandes (2009), deuteranopia, on linear RGB.
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, eye: np.ndarray) -> np.ndarray:
    """CIE Lab of a colour after an eye's transform of linear RGB."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(eye @ linear, 0.0, 1.0) / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    return np.array([116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])])


def gap(one: str, other: str, eye: np.ndarray) -> float:
    return float(np.linalg.norm(lab(one, eye) - lab(other, eye)))


def test_schedules_differ_for_deuteranopes_and_in_marker_and_line() -> None:
    looks = list(style.SCHEDULES.values())
    pairs = list(itertools.combinations([look.colour for look in looks], 2))
    assert min(gap(*pair, DEUTERANOPIA) for pair in pairs) > 15.0  # 2.3 is just noticeable
    assert len({look.marker for look in looks}) == len(looks)
    assert len({look.line for look in looks}) == len(looks)


def test_a_red_and_a_green_would_fail_for_deuteranopes_only() -> None:
    assert gap("#d62728", "#2ca02c", np.eye(3)) > 15.0
    assert gap("#d62728", "#2ca02c", DEUTERANOPIA) < 15.0


def test_entropy_is_the_table_on_both_clocks_and_straight_on_the_second(
    drawn: dict[str, Figure],
) -> None:
    table = entropic_table()
    entropy = table[table["kind"] == "entropy"]
    curves = lines(drawn["entropic_time"], "entropy")
    for line, clock in zip(curves, ("time", "entropic_time"), strict=True):
        np.testing.assert_array_equal(data(line)[0], entropy[clock])
        np.testing.assert_array_equal(data(line)[1], entropy["value"])
    for line in lines(drawn["entropic_time"], "ln 2"):
        assert set(data(line)[1]) == {np.log(2.0)}


def test_same_paths_left_and_right_coloured_by_their_end(drawn: dict[str, Figure]) -> None:
    left, right = (drawn["entropic_time"].axes[i].get_lines() for i in (0, 1))
    for panel, clock in ((left, "time"), (right, "entropic_time")):
        paths = [line for line in panel if line.get_gid() == "path"]
        table = entropic_table()
        for i, line in enumerate(paths):
            np.testing.assert_array_equal(data(line)[0], table.loc[table["path"] == i, clock])
            np.testing.assert_array_equal(data(line)[1], table.loc[table["path"] == i, "value"])
        assert [line.get_color() for line in paths] == [style.BLUE, style.VERMILLION]


def test_maps_are_the_table(drawn: dict[str, Figure]) -> None:
    field = window_table().query("kind == 'field'")
    for column in ("density", "denoised", "posterior_entropy"):
        (image,) = [
            mesh
            for ax in drawn["information_window"].axes
            for mesh in ax.collections
            if mesh.get_gid() == column
        ]
        expected = field.sort_values(["x", "sigma"])[column].to_numpy()
        np.testing.assert_array_equal(np.asarray(image.get_array()).ravel(), expected)
        low, high = image.get_clim()
        assert low <= expected.min()
        assert high >= expected.max()


def test_pitchfork_meets_at_the_critical_noise_level(drawn: dict[str, Figure]) -> None:
    curve = window_table().query("kind == 'curve'")
    below = curve[curve["sigma"] < 1.0]
    for gid, sign in (("stable +", 1.0), ("stable -", -1.0)):
        for line in lines(drawn["information_window"], gid):
            np.testing.assert_array_equal(data(line)[1][:-1], sign * below["fixed_point"])
            assert (data(line)[0][-1], data(line)[1][-1]) == (1.0, 0.0)
    marked = lines(drawn["information_window"], "critical")
    assert [set(data(line)[0]) for line in marked] == [{1.0}] * 3


@pytest.mark.parametrize("column", ["rate", "rate_log_sigma"])
def test_rate_curves_are_the_table_and_marked_at_their_top(
    drawn: dict[str, Figure], column: str
) -> None:
    curve = window_table().query("kind == 'curve'")
    (line,) = [x for x in lines(drawn["information_window"], column) if x.get_gid() == column]
    np.testing.assert_array_equal(data(line)[1], curve[column])
    (mark,) = lines(drawn["information_window"], f"peak {column}")[:1]
    assert data(mark)[1].tolist() == [curve[column].max()]
    assert line.axes is not None
    assert line.axes.get_xscale() == "log"


@pytest.mark.parametrize(("column", "power"), [("rate", 3), ("rate_log_sigma", 2)])
def test_printed_peaks_are_those_of_the_closed_form(column: str, power: int) -> None:
    """Points at -1 and 1 (D eqs. 39-44): mmse = E sech^2((1 + sigma z) / sigma^2)."""
    z = np.linspace(-12.0, 12.0, 4001)  # the trapezoid rule is exact to rounding here
    weight = np.exp(-0.5 * z**2)

    def rate(sigma: float) -> float:
        with np.errstate(over="ignore"):
            return float(weight @ np.cosh((1.0 + sigma * z) / sigma**2) ** -2.0) / sigma**power

    peak = information_window.PEAKS[column]
    middle, step = rate(peak), 1e-3
    left, right = rate(peak - step), rate(peak + step)
    vertex = peak + 0.5 * step * (left - right) / (left - 2.0 * middle + right)
    assert abs(vertex - peak) < 1e-4  # printed to four digits


def test_boundary_lines_are_the_table_without_underflown_zeros(drawn: dict[str, Figure]) -> None:
    table = boundary_table()
    figure = drawn["low_noise_boundary"]
    for ax in (figure.axes[0], figure.axes[1], figure.axes[3]):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    exact = table[(table["toy"] == "two_points") & (table["denoiser_error"] == 0)]
    raw, gated = (
        data(lines(figure, f"{column} 2 points at −1 and 1, exact")[0])[1]
        for column in ("rate", "gated_rate")
    )
    positive = exact["rate"].to_numpy() > 0
    assert 0 < positive.sum() < len(positive)
    np.testing.assert_array_equal(raw[positive], exact["rate"][positive])
    np.testing.assert_array_equal(gated[positive], exact["gated_rate"][positive])
    assert np.isnan(raw[~positive]).all()
    assert "the lowest value is 0 by underflow" in style.caption_text(figure)


def test_boundary_panels_split_the_toys_and_show_all_slopes(drawn: dict[str, Figure]) -> None:
    counts = [
        sum(str(line.get_gid()).startswith(("rate", "slope")) for line in ax.get_lines())
        for ax in drawn["low_noise_boundary"].axes
    ]
    assert counts == [2, 4, 6, 3]
    asymptote = drawn["low_noise_boundary"].axes[0].get_lines()[0]
    np.testing.assert_array_equal(data(asymptote)[1], 1.0 / data(asymptote)[0])


def test_pivots_are_marked_and_named(drawn: dict[str, Figure]) -> None:
    marks = lines(drawn["low_noise_boundary"], "pivot")
    assert [data(mark)[0][0] for mark in marks] == [0.5, 0.5, 0.51]
    names = [text.get_text() for text in drawn["low_noise_boundary"].axes[3].texts]
    assert names == ["c = 0.5", "c = 0.5", "c = 0.51"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.010486, "0.0105"), (152.167, "152"), (1e-6, "10⁻⁶"), (1.264e3, "1.26·10³"), (0.0, "0")],
)
def test_numbers_are_printed_as_in_print(value: float, text: str) -> None:
    assert style.number(value) == text


@pytest.mark.parametrize("name", TABLES)
def test_saved_files_are_the_same_bytes_in_any_order_of_rows(
    drawn: dict[str, Figure],
    redrawn: dict[str, Figure],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "DPI", 50)  # only to be quick
    paths = registry.save(drawn[name], tmp_path / "new", name)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.pdf"]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    first = [path.read_bytes() for path in paths]
    assert [content[:4] for content in first] == [b"\x89PNG", b"%PDF"]
    assert b"CreationDate" not in first[1]
    again = registry.save(redrawn[name], tmp_path, name)
    assert [path.read_bytes() for path in again] == first


def test_interrupted_save_leaves_the_old_files(
    drawn: dict[str, Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn["entropic_time"]
    for kind in ("png", "pdf"):
        (tmp_path / f"plot.{kind}").write_text("old")

    def fail(path: Path, format: str, **_: object) -> None:
        path.write_text("half")
        if format == "pdf":
            raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(KeyboardInterrupt):
        registry.save(figure, tmp_path, "plot")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "plot.png": "old",
        "plot.pdf": "old",
    }


def test_save_names_the_folder_it_cannot_write(drawn: dict[str, Figure], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ValueError, match="file: must be a writable folder, got File exists"):
        registry.save(drawn["entropic_time"], blocked, "plot")
