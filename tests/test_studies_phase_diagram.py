"""Winners and counts of claims on hand-made tables, the committed study, and how it is drawn."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.engine.store import Store
from benchmarks.studies import phase_diagram as study
from figures import phase_diagram as figure_module
from figures.parts import style
from theory.schedules.registry import schedule
from toys import zoo
from toys.files import load_toy

Values = dict[str, float | None]  # KL by label; infinity and None (not known) allowed


def rows_of(std: float, n: int, values: Values, **setting: object) -> list[dict[str, object]]:
    """Rows of one setting; process edm, terminal stop, no smoothing unless said."""
    shared: dict[str, object] = {"std": std, "std_over_gap": study.std_over_gap(std)}
    shared |= {"process": "edm", "terminal": "stop", "sigma_min": 0.002, "sigma_max": 80.0}
    shared |= {"smoothing": 0.0, "n_steps": n, "solver": "stochastic_ddim"} | setting
    rows = []
    for label, kl in values.items():
        row = shared | {"label": label, "kl_data_model": kl, "error": 1e-3, "reason": None}
        if kl is None:
            row |= {"error": None, "reason": "the exact law must settle"}
        elif math.isinf(kl):
            row |= {"kl_data_model": None, "error": 0.0, "reason": "3 empty bins"}
        rows.append(row)
    return rows


def kls(standard: float, entropic: float, rescaled: float, log_snr: float) -> Values:
    return dict(zip(study.LABELS, (standard, entropic, rescaled, log_snr), strict=True))


INF = math.inf


def table_of(*settings: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([row for rows in settings for row in rows])


def test_the_winner_has_the_least_kl_and_leads_by_the_ratio_to_the_second() -> None:
    found = study.winners(table_of(rows_of(0.2, 8, kls(8.0, 1.0, 0.5, 3.0)))).iloc[0]
    assert (found["winner"], found["runner_up"]) == ("rescaled", "entropic")
    assert found["lead"] == 2.0
    assert found["kl_data_model"] == 0.5
    assert found["decided"]
    assert found["std_over_gap"] == study.std_over_gap(0.2)


@pytest.mark.parametrize(("second", "decided"), [(1.0019, False), (1.0021, True)])
def test_a_win_is_decided_beyond_both_errors(second: float, decided: bool) -> None:
    """Each error is 1e-3."""
    found = study.winners(table_of(rows_of(0.2, 8, kls(8.0, second, 1.0, 3.0)))).iloc[0]
    assert found["winner"] == "rescaled"
    assert found["decided"] == decided


def test_infinite_values_lose_and_unknown_ones_leave_no_winner() -> None:
    table = table_of(
        rows_of(0.0, 4, kls(INF, 1.0, INF, INF)),
        rows_of(0.0, 8, kls(INF, INF, INF, INF)),
        rows_of(0.0, 16, kls(5.0, 1.0, 2.0, 3.0) | {"standard": None}),
    )
    first, all_lost, unknown = (row for _, row in study.winners(table).iterrows())
    assert (first["winner"], first["lead"], first["decided"]) == ("entropic", INF, True)
    for row, reason in ((all_lost, "3 empty bins"), (unknown, "the exact law must settle")):
        assert pd.isna(row["winner"])
        assert not row["decided"]
        assert row["reason"] == reason
    three = study.winners(table, ("entropic", "rescaled", "log_snr"))
    assert three["winner"].iloc[2] == "entropic"


def claims_table() -> pd.DataFrame:
    """Points at two N, narrow and wide Gaussians, one overlap that no statement is about."""
    narrow, between, wide = 0.01, 0.05, 0.2
    return table_of(
        rows_of(0.0, 4, kls(9.0, 1.0, 2.5, 0.1)),
        rows_of(0.0, 8, kls(9.0, 3.0, 4.0, 0.1)),
        rows_of(0.0, 16, kls(4.0, 5.0, 6.0, 0.1)),
        rows_of(0.0, 32, kls(INF, 5.0, 6.0, 7.0)),
        rows_of(narrow, 4, kls(9.0, 1.0, 2.0, 0.1)),
        rows_of(narrow, 8, kls(9.0, 1.0, 0.5, 3.0)),
        rows_of(between, 8, kls(9.0, 1.0, 0.5, 3.0)),
        rows_of(wide, 4, kls(2.0, 3.0, 1.0, 3.0)),
        rows_of(wide, 8, kls(4.0, 3.0, 1.0, 0.1)),
        rows_of(wide, 16, kls(4.0, 3.0, 3.5, 5.0)),
        rows_of(wide, 4, kls(2.0, 3.0, 1.0, 3.0), smoothing=study.SMOOTHING),
        rows_of(wide, 8, kls(0.5, 3.0, 1.0, 0.1), smoothing=study.SMOOTHING),
        rows_of(narrow, 4, kls(9.0, 1.0, 2.0, 0.1) | {"rescaled": None}, smoothing=0.01),
    )


def test_claims_are_counted_among_the_papers_schedules() -> None:
    assert study.paper_claims(claims_table()) == {
        "points_entropic_best": (3, 4),
        "points_entropic_best_by_large_margin": (1, 4),
        "points_standard_worst": (3, 4),
        "negligible_overlap_entropic_best": (1, 2),
        "overlap_rescaled_best": (3, 5),
        "overlap_entropic_behind_rescaled": (4, 5),
        "overlap_entropic_worst": (3, 5),
        "smoothing_changes_winner": (1, 2),
    }


def test_claims_are_counted_among_all_schedules() -> None:
    found = study.paper_claims(claims_table(), study.LABELS)
    assert found["points_entropic_best"] == (1, 4)
    assert found["points_entropic_best_by_large_margin"] == (0, 4)
    assert found["negligible_overlap_entropic_best"] == (0, 2)
    assert found["overlap_rescaled_best"] == (2, 5)
    assert found["smoothing_changes_winner"] == (0, 2)


def test_claims_of_a_part_without_smoothing_have_no_pairs() -> None:
    table = claims_table()
    found = study.paper_claims(table[table["smoothing"] == 0])
    assert found["smoothing_changes_winner"] == (0, 0)


@pytest.mark.parametrize(("name", "std"), [("gaussians15_narrow", 0.02), ("points15", 0.0)])
def test_targets_are_those_of_the_zoo(name: str, std: float) -> None:
    toy, mine = zoo.toy(name), load_toy(study.target(std))
    for field in ("weights", "means", "stds"):
        np.testing.assert_array_equal(getattr(mine, field), getattr(toy, field))
    gaps = np.diff(np.sort(toy.means[:, 0]))
    assert study.std_over_gap(std) == pytest.approx(std / np.median(gaps), rel=1e-12)


def test_the_study_has_a_row_for_every_case() -> None:
    table = study.read_rows()
    keys = table.set_index([*study.CELL, "label"]).index
    cases = itertools.product(
        study.STUDY.stds,
        study.STANDARD,
        study.ENDS,
        (0.0, study.SMOOTHING),
        study.STUDY.steps,
        study.LABELS,
    )
    wanted = {(std, p, t, low, s, n, label) for std, p, (t, low), s, n, label in cases}
    assert keys.is_unique
    assert set(keys) == wanted
    left_out = (table["std"] == 0) & (table["terminal"] == "zero") & (table["smoothing"] > 0)
    assert set(table["reason"][left_out]) == {study.LEFT_OUT}
    assert table["kl_data_model"][~left_out].notna().equals(table["reason"][~left_out].isna())
    known = table["kl_data_model"].notna()
    assert (table["error"][known] <= study.RTOL * table["kl_data_model"][known] + 1e-11).all()
    assert study.PHASE_ROWS.stat().st_size < 2**20


def test_the_study_agrees_with_the_earlier_ranking() -> None:
    """Other rows of the same toys, from profiles that start at the lowest noise of each."""
    path = study.PHASE_ROWS.with_name("schedule_ranking.csv")
    stds = {"points15": 0.0, "gaussians15_narrow": 0.02, "gaussians15_overlap": 0.2}
    earlier = pd.read_csv(path)
    earlier = earlier.assign(std=earlier["toy"].map(stds))
    both = study.read_rows().merge(earlier, on=[*study.CELL, "label"])
    assert len(both) == 3 * 3 * 2 * 2 * 3 * 4 - 2 * 3 * 4  # toys N smoothing process ends label
    np.testing.assert_allclose(both["kl_data_model_x"], both["kl_data_model_y"], rtol=3e-5)


@pytest.mark.parametrize(
    ("std", "process", "end", "smoothing", "label"),
    [
        (0.0, "vp", ("zero", 0.002), 0.0, "standard"),
        (0.05, "edm", ("stop", 0.05), study.SMOOTHING, "log_snr"),
        (0.2, "vp", ("zero", 0.002), study.SMOOTHING, "standard"),
    ],
)
def test_the_study_is_reproduced(
    std: float, process: str, end: tuple[str, float], smoothing: float, label: str
) -> None:
    """To the sum of both tolerances; schedules without a profile, whose curve takes longer."""
    name = study.method(label, process)
    sigmas = tuple(schedule(name, 8, process, None, *end).tolist())
    cell = study.PhaseCell(std, process, *end, smoothing, label, sigmas)
    assert cell.setting is not None
    row = cell.row(cell.setting.run()[0])
    kept = study.read_rows().set_index([*study.CELL, "label"])
    found = kept.loc[(std, process, *end, smoothing, 8, label)]
    assert found["kl_data_model"] == pytest.approx(row["kl_data_model"], rel=2e-5)
    assert found["nfe"] == row["nfe"] == 8


def test_the_diagram_is_read_with_its_winners(tmp_path: Path) -> None:
    table = study.phase_diagram("default", Store(tmp_path), 1)
    assert len(table) == len(study.read_rows())
    won = table[table["winner"].notna()]
    best = won.loc[won["label"] == won["winner"]].set_index(study.CELL)["kl_data_model"]
    least = won.groupby(study.CELL)["kl_data_model"].min()
    pd.testing.assert_series_equal(best.sort_index(), least.sort_index())
    assert (won["lead"] >= 1.0).all()


def drawn_table() -> pd.DataFrame:
    """Every schedule wins somewhere, by leads of all classes; some settings have no winner."""
    table = table_of(
        *(
            rows_of(std, n, kls(*np.roll([1.0, lead, 9.0, 9.0], i + j)), smoothing=smoothing)
            for (i, std), (j, n), (smoothing, lead) in itertools.product(
                enumerate((0.0, 0.02, 0.05, 0.2)),
                enumerate((4, 8)),
                ((0.0, 3.0), (0.01, 1.5)),
            )
        ),
        *(rows_of(std, 4, kls(1.05, 1.0, 2.0, 2.0), process="vp") for std in (0.0, 0.02)),
        rows_of(0.05, 4, kls(INF, INF, INF, INF), process="vp"),
        rows_of(0.2, 4, kls(1.001, 1.0, 2.0, 2.0), process="vp"),
    )
    found = study.winners(table).rename(columns={"reason": "winner_reason"})
    return table.merge(found.drop(columns=["std_over_gap", "kl_data_model"]), on=study.CELL)


@pytest.fixture(scope="module")
def drawn() -> Figure:
    return figure_module.draw(drawn_table().sample(frac=1.0, random_state=1))


def boxes(figure: Figure, kind: str) -> list[tuple[int, Rectangle]]:
    """Panel and rectangle of every box whose gid starts with `kind`."""
    return [
        (i, patch)
        for i, ax in enumerate(figure.axes)
        for patch in ax.patches
        if isinstance(patch, Rectangle) and str(patch.get_gid()).startswith(kind)
    ]


PANELS = [("vp", 0.0), ("vp", 0.01), ("edm", 0.0), ("edm", 0.01)]


def test_every_cell_has_the_colour_of_its_winner_at_its_place(drawn: Figure) -> None:
    cells = drawn_table().drop_duplicates(study.CELL)
    cells = cells.set_index(["process", "smoothing", "std", "n_steps"])
    shown = boxes(drawn, "cell")
    assert len(shown) == len(cells)
    for i, patch in shown:
        _, winner, std, n = str(patch.get_gid()).split()
        row = cells.loc[(*PANELS[i], float(std), int(n))]
        ax, (low, high) = drawn.axes[i], (patch.get_y(), patch.get_y() + patch.get_height())
        assert low < int(n) < high
        ticks = [t.get_text() for t in drawn.axes[-1].get_xticklabels()]
        tick = ax.get_xticks()[ticks.index("points" if std == "0" else std)]
        assert patch.get_x() < tick < patch.get_x() + patch.get_width()
        if winner == "none":
            assert pd.isna(row["winner"])
            assert patch.get_hatch()
        else:
            assert winner == row["winner"]
            assert patch.get_facecolor()[:3] == to_rgb(style.SCHEDULES[winner].colour)


def test_cells_do_not_overlap_and_points_stand_apart(drawn: Figure) -> None:
    for i in range(len(PANELS)):
        spans = {(p.get_x(), p.get_x() + p.get_width()) for j, p in boxes(drawn, "cell") if j == i}
        edges = sorted(spans)
        if not edges:
            continue
        gaps = [right[0] / left[1] for left, right in itertools.pairwise(edges)]
        assert min(gaps) > 1.0
        assert gaps[0] == max(gaps)


def test_insets_show_how_far_the_winner_leads(drawn: Figure) -> None:
    cells = drawn_table().drop_duplicates(study.CELL)
    cells = cells.set_index(["process", "smoothing", "std", "n_steps"])
    insets = {(i, str(p.get_gid()).split(maxsplit=1)[1]): p for i, p in boxes(drawn, "inset")}
    widths = set()
    for i, cell in boxes(drawn, "cell"):
        name = str(cell.get_gid()).split(maxsplit=2)[2]
        std, n = name.split()
        row = cells.loc[(*PANELS[i], float(std), int(n))]
        inset = insets.get((i, name))
        if pd.isna(row["winner"]) or (row["decided"] and row["lead"] >= 2.0):
            assert inset is None
            continue
        assert inset is not None
        share = np.log(1.0 + inset.get_height() / inset.get_y()) / np.log(2.0)
        close = row["lead"] < 1.1
        assert share == pytest.approx(figure_module.INSETS["close" if close else "modest"])
        widths.add(round(share, 3))
    assert len(widths) == 2


def test_the_legend_lists_the_schedules_and_the_marks_that_occur(drawn: Figure) -> None:
    (legend,) = drawn.legends
    words = [text.get_text().strip() for text in legend.get_texts()]
    assert {style.SCHEDULES[label].label for label in study.LABELS} <= set(words)
    assert style.SCHEDULES["edm"].label not in words
    assert [word.partition(":")[0] for word in words if ":" in word] == [
        "solid",
        "frame",
        "thin frame",
        "hatched",
    ]


def test_the_caption_tells_the_settings_and_nothing_is_cut_off(drawn: Figure) -> None:
    text = style.caption_text(drawn)
    for words in (
        "15 random means",
        "one std, 0.02 to 0.2 and 0 (points)",
        "stochastic DDIM",
        "N = 4, 8",
        "“stop”: data and sampler",
        "Exact law",
        "VP from σ = 80; EDM from σ = 80",  # noqa: RUF001
        "Wins in 19 settings: standard time 4, log-SNR 4, entropic 7, rescaled entropic 4",
        "Smoothing changes the winner in 0 of 8 settings",
        "Gaps within the errors: 1",
        "No winner in 1 settings: the KL is infinite",
    ):
        assert words in text
    drawn.draw_without_rendering()
    box, (width, height) = drawn.get_tightbbox(), drawn.get_size_inches()
    assert box.x0 >= 0.0
    assert box.y0 >= 0.0
    assert box.x1 <= width
    assert box.y1 <= height


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label must be one of .*, got other"):
        figure_module.draw(drawn_table().replace({"label": {"standard": "other"}}))
