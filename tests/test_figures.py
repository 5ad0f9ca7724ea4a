"""What the figures draw is what their tables say; nothing is computed here but tiny tables."""

import io
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.studies import re_vs_baselines as re_vs_baselines_table
from benchmarks.studies import solver_convergence as solver_convergence_table
from benchmarks.studies.bound_tightness import ROWS as BOUND_ROWS
from figures import (
    claims_ledger,
    entropy_reduction,
    information_window,
    kl_vs_steps,
    las_mixtures,
    pathwise_vs_terminal,
    re_vs_baselines,
    registry,
    schedules_compared,
    solver_convergence,
)
from figures.parts import las_printed, solver_looks, solver_orders, style
from figures.parts.printed import printed
from tests.test_figures_training import TABLES as OF_TRAINING
from tests.test_studies_phase_diagram import drawn_table as phase_table
from theory.writing import write_bytes

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


def convergence_table() -> pd.DataFrame:
    """Powers of the calls, all different; EVODiff is lost on two toys; one weak error is noise."""
    rows = []
    cases = itertools.product(
        solver_convergence.TARGETS, enumerate(solver_looks.SOLVERS), (4, 8, 16)
    )
    for toy, (i, name), n in cases:
        solver, _, options = name.partition(" ")
        row = {"toy": toy, "process": "edm", "schedule": "log_snr", "solver": solver}
        row |= {"options": options, "n_steps": n, "nfe": 2 * n if solver == "heun" else n}
        row |= {"terminal": "stop", "sigma_max": 80.0, "sigma_min": 0.002, "reason": None}
        weak = name in solver_convergence.FAMILIES[solver_convergence.WEAK]
        value = (1.0 + i) * float(n) ** -(1 + i % 3)
        if not weak:
            lost = solver == "evodiff" and n > 4 and toy in ("two_points", "gaussians15_overlap")
            row |= {"metric": "path_rms", "method": "reference flow", "paths": 50, "seed": 5}
            row |= {"value": None if lost else value, "stderr": None if lost else 0.1 * value}
            rows.append(row | {"reason": "the solver diverges" if lost else None})
            continue
        row |= {"metric": "moment", "seed": None}
        if toy != "circle8":
            rows.append(row | {"method": "exact law", "paths": 0, "value": value, "stderr": 0.0})
        if toy != "gaussian":
            noise = value if n == 16 else 0.1 * value
            row |= {"method": "Monte Carlo", "paths": 700, "seed": 9}
            rows.append(row | {"value": 1.2 * value, "stderr": noise})
    return pd.DataFrame(rows)


CALLS = (5, 8, 20)


def baselines_table() -> pd.DataFrame:
    """Values in an order that changes with the calls; EVODiff's KL is infinite, one is unknown."""
    rows = []
    cases = itertools.product(
        re_vs_baselines.COLUMNS, re_vs_baselines.GRIDS, enumerate(solver_orders.CODES), CALLS
    )
    for (toy, metric), grid, (i, solver), n in cases:
        rows.append(
            {
                "calls": n,
                "toy": toy,
                "process": "edm",
                "schedule": grid,
                "solver": solver,
                "options": "",
                "nfe": n,
                "terminal": "stop",
                "sigma_max": 80.0,
                "sigma_min": 0.002,
                "metric": metric,
                "value": (1.0 + (7 * i + n) % 11) / n,
                "error": 1e-6,
                "stderr": 0.01 * i if metric == "path_rms" else 0.0,
                "paths": 300 if metric == "path_rms" else 0,
                "seed": 4 if metric == "path_rms" else None,
                "reason": None,
            }
        )
    table = pd.DataFrame(rows)
    kl = table["metric"] == "kl_data_model"
    infinite = kl & (table["solver"] == "evodiff") & (table["calls"] > 5)
    unknown = kl & (table["solver"] == "re_multi") & (table["calls"] == 8)
    for where, reason in ((infinite, "the sampler gives no mass"), (unknown, "must settle")):
        table.loc[where, ["value", "reason"]] = [None, reason]
    groups = table.groupby(["toy", "schedule", "metric", "calls"])["value"]
    return table.assign(rank=groups.rank(method="min"))


def reduction_table() -> pd.DataFrame:
    """Three levels and two steps of every toy, all numbers different; points fold in some steps."""
    rows = []
    for i, toy in enumerate(entropy_reduction.LOOKS):
        for j, sigma in enumerate((0.01, 1.0, 50.0)):
            row = {"kind": "level", "toy": toy, "sigma": sigma}
            row |= {"variance_eps": 0.1 + 0.01 * i + 0.1 * j, "variance_d": sigma**2 / (2 + i)}
            rows.append(row)
        for k, step in enumerate((*entropy_reduction.STEPS, "fd_2 data", "exact flow")):
            for j, sigma in enumerate((2.0, 0.2)):
                change = 0.0 if step == "ddim" else 0.1 + 0.01 * k + 0.001 * i - 0.05 * j
                row = {"kind": "step", "toy": toy, "step": step, "sigma": sigma}
                row |= {"sigma_next": sigma / 10, "entropy": 1.0 + change}
                row |= {"change_state": change, "change_increment": -0.3 - change}
                row |= {"predicted": -0.25 - 0.01 * k if " " in step else None}
                rows.append(row)
    return pd.DataFrame(rows).assign(n_steps=2, seed=None, stderr=0.0)


NFES = (5, 10, 20)


def mixtures_table() -> pd.DataFrame:
    """Widths that give the likelihoods, one reversed KL unknown, and a few points."""
    rows = []
    cases = itertools.product(las_printed.PLACES, las_printed.SAMPLERS)
    for (i, (toy, solver)), (j, name), n in itertools.product(
        enumerate(cases), enumerate(las_mixtures.SCHEDULES), NFES
    ):
        width = 0.8 + 0.05 * i + (1.0 + 0.3 * j) / n
        row = {"kind": "sampler", "toy": toy, "solver": solver, "schedule": name, "nfe": n}
        row |= {"process": "vp", "terminal": "stop", "sigma_max": 152.0, "sigma_min": 0.01}
        row |= {"paths": 1000 * n, "seed": 3, "blur": 0.25, "within_std": width}
        row |= {
            "nll": 2.0 + width**2 + (0.01 if n == 5 else 0.0),
            "nll_stderr": 0.001 * n,
            "nll_data": 3.0,
        }
        row |= {"kl_data_model": (7.0 - j) / n, "kl_data_model_stderr": 0.004}
        rows.append(row | {"kl_model_data": (8.0 - j) / n})
    table = pd.DataFrame(rows)
    table.loc[(table["schedule"] == "rescaled") & (table["nfe"] == 20), "kl_model_data"] = None
    parts = [
        pd.DataFrame({"x": np.cos([1.0, 2.0, i]), "y": np.sin([1.0, 2.0, k])}).assign(
            kind="data" if name == "data" else "sample", toy=toy, schedule=name, nfe=5
        )
        for i, toy in enumerate(las_printed.PLACES)
        for k, name in enumerate(("data", *las_mixtures.SCHEDULES))
    ]
    return pd.concat([table, *parts], ignore_index=True)


def pathwise_table() -> pd.DataFrame:
    """A bound that grows where the KL falls, least over lambda at 0.01; two KLs unknown."""
    rows = []
    shared = {"toy": "gaussians15_overlap", "process": "edm", "terminal": "stop", "error": 1e-9}
    shared |= {"solver": "stochastic_ddim", "sigma_max": 80.0, "sigma_min": 0.002}
    for (j, name), n in itertools.product(enumerate(pathwise_vs_terminal.SCHEDULES), (2, 4, 64)):
        row = {"kind": "steps", "schedule": name, "of_steps": n, "n_steps": n}
        row |= {"pathwise_kl": 10.0 ** (j + 1) / n, "kl_data_model": (9.0 - j) / n**2}
        rows.append(shared | row)
    for (j, name), k in itertools.product(enumerate(pathwise_vs_terminal.SCHEDULES), (1, 2, 3)):
        row = {"kind": "level", "schedule": name, "of_steps": 3, "n_steps": k}
        row |= {"sigma_min": 10.0 ** (1 - k), "pathwise_kl": 2.0 * k**2, "kl_data_model": 1.0 + j}
        rows.append(shared | row)
    for n, lam in itertools.product((5, 10, 20), (1e-4, 1e-2, 1.0)):
        row = {"kind": "lambda", "schedule": "las", "of_steps": n, "n_steps": n, "lambda": lam}
        row |= {"natural_lambda": 0.5 / n, "pathwise_kl": 100.0 * lam**0.5 / n}
        rows.append(shared | row | {"kl_data_model": (1.0 + np.log10(lam / 1e-2) ** 2) / n})
    table = pd.DataFrame(rows)
    for kind, name, n in (("steps", "edm", 2), ("level", "rescaled", 1)):
        lost = (table["kind"] == kind) & (table["schedule"] == name) & (table["n_steps"] == n)
        table.loc[lost, "kl_data_model"] = None
    return table


def compared_table() -> pd.DataFrame:
    """Four levels per schedule, all different, and a risk curve of seven."""
    sigma = np.geomspace(0.01, 100.0, 7)
    risk = {"kind": "curve", "sigma": sigma, "noise_risk": 2.0 / (1.0 + sigma**2)}
    parts = [pd.DataFrame(risk)]
    for i, name in enumerate(schedules_compared.SCHEDULES):
        middle = np.array([10.0, 1.0]) * 1.1**i
        levels = {"kind": "level", "schedule": name, "step": range(4)}
        parts.append(pd.DataFrame(levels | {"sigma": [100.0, *middle, 0.01]}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(toy="circle8", process="vp", terminal="stop", natural_lambda=0.0125)


def ledger_table() -> pd.DataFrame:
    """Two papers, every verdict and kind."""
    kinds = itertools.cycle(claims_ledger.KINDS)
    verdicts = itertools.cycle(claims_ledger.VERDICTS)
    rows = []
    for i in range(12):
        row = {"id": f"{'AB'[i % 2]}.{i}", "paper": "AB"[i % 2], "kind": next(kinds)}
        row |= {"verdict": next(verdicts), "value": 10.0 ** (-i) * (-1) ** i, "cases": 5}
        row["place"] = i
        rows.append(row | {"made_of": "4 standard errors" if i == 5 else "rounding"})
    return pd.DataFrame(rows)


def regret_table() -> pd.DataFrame:
    """Two solvers, four methods, both halves; one KL is infinite and one unknown."""
    factors = {"optimum": 1.0, "optimal": 1.01, "law": 1.1, "las": 1.5, "edm": 6.0, "sdm": 1e6}
    rows = [
        {
            "half": half,
            "toy": f"{half}-{i}",
            "solver": solver,
            "calls": calls,
            "schedule": name,
            "kl_data_model": 0.01 * factor * (1.0 + 0.1 * i),
            "regret": factor * (1.0 + 0.1 * i),
            "error": 0.0,
        }
        for half in ("look", "report")
        for i in range(3)
        for solver in ("stochastic_ddim", "dpmpp_2m")
        for calls in (4, 8)
        for name, factor in factors.items()
    ]
    table = pd.DataFrame(rows)
    table.loc[table["schedule"] == "sdm", ["kl_data_model", "regret"]] = None
    unknown = (table["schedule"] == "sdm") & (table["toy"] == "report-0")
    table.loc[unknown, "error"] = None
    return table


def levels_of_optimum_table() -> pd.DataFrame:
    """Two solvers, their levels, and a small kernel."""
    rows = [
        {"kind": "level", "solver": solver, "calls": 3, "step": step, "sigma": sigma}
        for solver in ("stochastic_ddim", "ddim")
        for step, sigma in enumerate((80.0, 2.0, 0.2, 0.002))
    ]
    sigma = np.geomspace(20.0, 1e-3, 7)
    rate = 1.0 / (1.0 + sigma**2)
    law = rate * np.sqrt(1.0 - rate)
    rates = pd.DataFrame({"kind": "rate", "sigma": sigma, "rescaled_rate": rate, "law": law})
    pairs = np.stack(np.meshgrid(sigma, sigma), axis=-1).reshape(-1, 2)
    kernel = pd.DataFrame({"kind": "kernel", "sigma": pairs[:, 0], "sigma_other": pairs[:, 1]})
    kernel["correlation"] = np.exp(-np.abs(np.log(pairs[:, 0] / pairs[:, 1])))
    parts = [
        pd.DataFrame(rows).assign(kl_data_model=0.01),
        rates.assign(diagonal=1.1 * law),
        kernel,
    ]
    return pd.concat(parts, ignore_index=True).assign(toy="gaussians15_narrow")


def called_table() -> pd.DataFrame:
    """Two mixtures, a product and a network, with a gain of 4 and 8 times at eight calls."""
    rows = []
    factors = {"ddim": 4.0, "called_ddim": 1.0, "stochastic_ddim": 8.0, "called_ancestral": 1.0}
    factors |= {"dpmpp_2m": 2.0, "unipc_2": 1.5, "heun": 6.0}
    for data, half, toy in (
        ("mixture", "report", "report-03"),
        ("mixture", "report", "report-04"),
        ("mixture", "look", "look-01"),
        ("product", "report", "1/k, d = 64"),
    ):
        for sampler, factor in factors.items():
            for calls in (4, 8, 16):
                gain = 50.0 if half == "look" and sampler.startswith("called") else 1.0
                value = factor / calls**2 / gain
                rows.append({"data": data, "half": half, "toy": toy, "sampler": sampler}
                            | {"calls": calls, "kl_data_model": value})  # fmt: skip
    for sampler in ("ddim", "stochastic_ddim", "dpmpp_2m"):
        for share in (0.0, 0.5, 1.0) if sampler != "dpmpp_2m" else (0.0,):
            for calls in (4, 8, 16):
                score = (100.0 - 40.0 * share) / calls
                rows.append({"data": "network", "toy": "digits", "sampler": sampler}
                            | {"calls": calls, "share": share, "score": score})  # fmt: skip
    return pd.DataFrame(rows).assign(schedule="edm")


TABLES = {
    "called_levels": called_table,
    "schedule_regret": regret_table,
    "optimal_levels": levels_of_optimum_table,
    "phase_diagram": phase_table,
    "bound_tightness": lambda: pd.read_csv(BOUND_ROWS).drop(columns="command"),
    "claims_ledger": ledger_table,
    "las_mixtures": mixtures_table,
    "pathwise_vs_terminal": pathwise_table,
    "schedules_compared": compared_table,
    "entropy_reduction": reduction_table,
    "solver_convergence": convergence_table,
    "re_vs_baselines": baselines_table,
    "entropic_time": entropic_table,
    "kl_vs_steps": kl_table,
    "information_window": window_table,
    "low_noise_boundary": boundary_table,
}
QUICK = ("entropic_time", "information_window", "schedules_compared")  # drawn in a second or two


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return {name: registry.draw(name, table()) for name, table in TABLES.items()}


@pytest.fixture(scope="module")
def redrawn() -> dict[str, Figure]:
    """The same figures from shuffled rows."""
    shuffled = {name: table().sample(frac=1.0, random_state=3) for name, table in TABLES.items()}
    return {name: registry.draw(name, table) for name, table in shuffled.items()}


def lines(figure: Figure, gid: str) -> list[Line2D]:
    """All lines whose gid starts with `gid`, panel by panel."""
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
    assert {*TABLES, *OF_TRAINING} == set(registry.FIGURES)
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
        ("entropic_time", "stochastic DDIM|terminal: stop|2 paths|seed 1|0.01 to 152|not given in"),
        (
            "information_window",
            "no process, solver, steps, terminal|12 × 7|0.6438|0.8142|not given in",
        ),
        ("low_noise_boundary", "no process, solver, steps, terminal|30 log|cut at 10⁻⁶|third part"),
        (
            "kl_vs_steps",
            "stochastic DDIM|N = 2, 4, 8|stop for 15 Gaussians|zero for 15 points|100 paths|"
            "3 repeats|seed 7|bandwidth 10⁻²|10³|EDM, σ 0.002 to 80|β 0.1 to 20|does not give|"
            "Paper A v1, figs. 2 and 4",
        ),
        (
            "solver_convergence",
            "log-SNR grid|EDM process|σ 80 to 0.002|terminal policy: stop|N = 4 to 16|NFE 4 to 32|"
            "50 starts|seed 5|“lost”: EVODiff (released)|exact law|"
            "700 paths, seed 9|± one standard error|2 standard errors of 0",
        ),
        (
            "re_vs_baselines",
            "NFE 5, 8, 20|EDM, σ 80 to 0.002|N(0, 80²)|terminal policy: stop|error at most 10⁻⁶|"
            "triangles: the KL is infinite|does not converge|300 paths (seed 4)|one standard error|"
            "in 13 of 15 printed ones|not comparable",
        ),
        (
            "schedule_regret",
            "3 mixtures that no rule was made on|4, 8 network calls|Unknown: 6.7%",
        ),
        ("called_levels", "Title: medians of 2 mixtures, 8 calls|three trainings"),
        (
            "optimal_levels",
            "15 Gaussians, std 0.02; 3 network calls|stochastic DDIM 0.01, DDIM 0.01",
        ),
        (
            "entropy_reduction",
            "log-SNR grid of 2 steps from 50 to 0.02 (stop)|quadrature, no samples|(3.10)|"
            "FD leaves more conditional variance than DDIM in 6 of 6 steps, RE more than FD in 6",
        ),
        (
            "las_mixtures",
            "σ 152 to 0.01|terminal policy: stop|NFE = 5, 10, 20|5·10³ to 2·10⁴ paths|seed 3|"
            "standard error of at most 0.02 |N(0, 0.25² I)|at most 0.004; "
            "missing values of thin lines: 4 |3 samples|after 5 calls|We inferred|std 0.25|"
            "radius 4|spacing 3|weights|β 0.1 to 20|[10⁻³, 1]|λ = 1/16|1000 candidates|"
            "From 15 steps on|NFE 20|within 0.01 nats for all 72 rows|schedules in 12 of 12 cases",
        ),
        (
            "pathwise_vs_terminal",
            "std 0.2|Stochastic DDIM|true law at σ = 80 down to 0.002|stop|N = 2, 4, 64|no seeds|"
            "at most 10⁻⁹|along 3 steps|N = 64, best first, by the bound: EDM grid (ρ = 7), "
            "log-SNR, entropic, rescaled entropic, LAS, λ = 0, LAS; by the KL: LAS, LAS, λ = 0|"
            "s = 0.5 from",
        ),
        ("phase_diagram", "stochastic DDIM|N = 4, 8|stop|exact|Exact law|log-SNR is added"),
        ("bound_tightness", "We obtained the constants|seeds fixed|Monte Carlo|184 times"),
        (
            "claims_ledger",
            "12 statements|holds 3, holds as corrected 3, fails 3, needs published files 3|"
            "60 cases|9 digits|standard errors|The process",
        ),
        (
            "schedules_compared",
            "3 steps|8 Gaussians on a circle|VP process|σ 100 to 0.01|stop|No solver|7 levels|"
            "λ = 0.0125",
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
    assert {"Monte Carlo infinite", "mean of finite repeats", "exact law infinite"} < set(legend)


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


def test_all_schedules_differ_for_deuteranopes_and_in_marker_and_line() -> None:
    looks = list(style.ALL_SCHEDULES.values())
    pairs = list(itertools.combinations([look.colour for look in looks], 2))
    for eye in (np.eye(3), DEUTERANOPIA):
        assert min(gap(*pair, eye) for pair in pairs) > 15.0  # 2.3 is just noticeable
    assert len({look.marker for look in looks}) == len(looks)
    assert len({(look.line, look.width) for look in looks}) == len(looks)
    for name in set(style.ALL_SCHEDULES) & set(style.SCHEDULES):
        assert style.ALL_SCHEDULES[name] == style.SCHEDULES[name]


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
        assert [line.get_color() for line in paths] == [style.BLUE, style.VERMILION]


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


def test_measured_variances_and_changes_are_the_table(drawn: dict[str, Figure]) -> None:
    table, figure = reduction_table(), drawn["entropy_reduction"]
    levels, steps = table[table["kind"] == "level"], table[table["kind"] == "step"]
    for toy in entropy_reduction.LOOKS:
        mine = levels[levels["toy"] == toy]
        for ax, column in zip(figure.axes[:2], ("variance_eps", "variance_d"), strict=True):
            (line,) = own(ax, f"{column} {toy}")
            np.testing.assert_array_equal(data(line)[1], mine[column])
        by = steps[steps["toy"] == toy].pivot_table(
            index="sigma", columns="step", dropna=False, values=["change_state", "change_increment"]
        )
        state, increment = by["change_state"], by["change_increment"]
        wanted = {
            2: lambda t: t["fd_2 noise"],
            3: lambda t: t["re_single noise"] - t["fd_2 noise"],
            4: lambda t: t["re_single data"] - t["re_single noise"],
        }
        for panel, of in wanted.items():
            for kind, values in (("state", state), ("increment", increment)):
                (line,) = own(figure.axes[panel], f"{kind} {toy}")
                np.testing.assert_allclose(data(line)[1], of(values), rtol=1e-12)


def test_predictions_stand_where_the_paper_makes_them(drawn: dict[str, Figure]) -> None:
    steps = reduction_table()
    axes = drawn["entropy_reduction"].axes
    for panel, step in ((2, "fd_2 noise"), (3, "re_single noise")):
        want = steps.loc[steps["step"] == step, "predicted"].astype(float).unique()
        for line in own(axes[panel], "predicted"):
            np.testing.assert_array_equal(np.unique(data(line)[1]), want)
    assert not own(axes[4], "predicted")  # of proposition 3.4 only a sign is known


def test_steps_stand_by_their_gap_from_the_exact_flow(drawn: dict[str, Figure]) -> None:
    steps = reduction_table()
    steps = steps[(steps["kind"] == "step") & (steps["toy"] == entropy_reduction.SUBJECT)]
    entropy = steps.pivot_table(index="sigma", columns="step", values="entropy")
    for step in entropy_reduction.STEPS:
        (line,) = own(drawn["entropy_reduction"].axes[5], f"flow {step}")
        np.testing.assert_allclose(data(line)[1], entropy[step] - entropy["exact flow"], atol=1e-15)


def convergence_panels(drawn: dict[str, Figure]) -> dict[tuple[str, str], Axes]:
    """Panels by toy and family; the headings come first, then row by row."""
    families = list(solver_convergence.FAMILIES)
    axes = drawn["solver_convergence"].axes
    keys = list(itertools.product(solver_convergence.TARGETS, families))
    assert len(axes) == len(families) + len(keys)
    return dict(zip(keys, axes[len(families) :], strict=True))


def own(ax: Axes, gid: str) -> list[Line2D]:
    return [line for line in ax.get_lines() if line.get_gid() == gid]


def test_every_solver_has_one_family_and_a_look() -> None:
    shown = [name for members in solver_convergence.FAMILIES.values() for name in members]
    assert sorted(shown) == sorted(solver_looks.SOLVERS)
    drawn_names = {
        " ".join([solver, *(f"{key}={value}" for key, value in options)])
        for solver, options in (
            *solver_convergence_table.DETERMINISTIC,
            *solver_convergence_table.STOCHASTIC,
        )
    }
    assert drawn_names == set(solver_looks.SOLVERS)
    assert {*re_vs_baselines_table.BASELINES, *re_vs_baselines_table.REDUCING} == set(
        solver_orders.CODES
    )


def test_solvers_of_a_panel_differ_in_colour_or_dash_and_in_marker() -> None:
    groups = [*solver_convergence.FAMILIES.values(), tuple(solver_orders.CODES)]
    for group in groups:
        looks = [solver_looks.SOLVERS[name] for name in group]
        assert len({(look.colour, look.line) for look in looks}) == len(looks)
        for one, other in itertools.combinations(looks, 2):
            assert one.colour != other.colour or one.marker != other.marker
        colours = sorted({look.colour for look in looks})
        gaps = [gap(*pair, DEUTERANOPIA) for pair in itertools.combinations(colours, 2)]
        assert min(gaps, default=99.0) > 15.0


def test_strong_errors_are_the_table_in_their_familys_panel(drawn: dict[str, Figure]) -> None:
    table = convergence_table()
    table["name"] = solver_looks.names(table)
    for (toy, family), ax in convergence_panels(drawn).items():
        mine = table[(table["toy"] == toy) & (table["metric"] == "path_rms")]
        for name in solver_looks.SOLVERS:
            found = own(ax, f"error {name}")
            if family == solver_convergence.WEAK or name not in solver_convergence.FAMILIES[family]:
                assert not found
                continue
            (line,) = found
            rows = mine[mine["name"] == name]
            np.testing.assert_array_equal(data(line)[0], rows["nfe"])
            np.testing.assert_array_equal(data(line)[1], rows["value"].astype(float))


def test_lost_paths_are_crosses_in_a_named_band_and_nowhere_else(drawn: dict[str, Figure]) -> None:
    table = convergence_table()
    table["name"] = solver_looks.names(table)
    lost = table[table["value"].isna()]
    crosses = lines(drawn["solver_convergence"], "lost")
    assert sum(len(data(line)[0]) for line in crosses) == len(lost) > 0
    for (toy, family), ax in convergence_panels(drawn).items():
        bands = [patch for patch in ax.patches if patch.get_gid() == "band"]
        mine = lost[lost["toy"] == toy]
        assert len(bands) == (len(mine) > 0 and family != solver_convergence.WEAK)
        for line in [x for x in ax.get_lines() if str(x.get_gid()).startswith("lost")]:
            name = str(line.get_gid()).removeprefix("lost ")
            np.testing.assert_array_equal(data(line)[0], mine.loc[mine["name"] == name, "nfe"])
            box = bands[0].get_window_extent()
            heights = line.get_transform().transform(np.column_stack(data(line)))[:, 1]
            assert ((box.y0 < heights) & (heights < box.y1)).all()
        if len(mine):
            first = convergence_panels(drawn)[toy, next(iter(solver_convergence.FAMILIES))]
            assert "lost" in [label.get_text() for label in first.get_yticklabels()]


def test_strong_and_weak_errors_never_share_an_axis(drawn: dict[str, Figure]) -> None:
    panels = convergence_panels(drawn)
    for (toy, family), ax in panels.items():
        weak = family == solver_convergence.WEAK
        gids = {str(line.get_gid()).split()[0] for line in ax.get_lines()}
        assert ("error" in gids) != weak
        assert ("exact" in gids) == weak
        first = panels[toy, next(iter(solver_convergence.FAMILIES))]
        assert ax.get_shared_y_axes().joined(ax, first) != weak


def test_weak_errors_are_lines_if_exact_and_marks_with_bars_if_sampled(
    drawn: dict[str, Figure],
) -> None:
    table = convergence_table()
    table["name"] = solver_looks.names(table)
    weak = table[table["metric"] == "moment"]
    for toy in solver_convergence.TARGETS:
        ax = convergence_panels(drawn)[toy, solver_convergence.WEAK]
        bars = {str(bar.get_gid()): bar for bar in ax.collections}
        for name in solver_convergence.FAMILIES[solver_convergence.WEAK]:
            mine = weak[(weak["toy"] == toy) & (weak["name"] == name)]
            exact, sampled = mine[mine["paths"] == 0], mine[mine["paths"] > 0]
            np.testing.assert_array_equal(data(own(ax, f"exact {name}")[0])[1], exact["value"])
            sure = sampled["value"] > 2.0 * sampled["stderr"]
            for gid, part, face in (
                ("sampled", sampled[sure], solver_looks.SOLVERS[name].colour),
                ("unsure", sampled[~sure], "white"),
            ):
                (marks,) = own(ax, f"{gid} {name}")
                np.testing.assert_array_equal(data(marks)[1], part["value"].astype(float))
                assert marks.get_markerfacecolor() == face
            ends = np.array([[p[0][1], p[1][1]] for p in bars[f"stderr {name}"].get_segments()])
            low, high = sampled["value"] - sampled["stderr"], sampled["value"] + sampled["stderr"]
            np.testing.assert_allclose(ends.reshape(-1, 2)[:, 0], low, rtol=1e-12)
            np.testing.assert_allclose(ends.reshape(-1, 2)[:, 1], high, rtol=1e-12)


def test_guide_lines_have_the_slopes_they_are_named_after(drawn: dict[str, Figure]) -> None:
    for (_, family), ax in convergence_panels(drawn).items():
        found = []
        for line in own(ax, "slope"):
            x, y = np.log(data(line))
            found.append(-(y[1] - y[0]) / (x[1] - x[0]))
        orders = (1, 2) if family == solver_convergence.WEAK else (1, 2, 3, 4)
        np.testing.assert_allclose(found, orders, rtol=1e-12)
        assert [text.get_text() for text in ax.texts] == [str(order) for order in orders]


def test_every_solver_stands_once_in_the_legends(drawn: dict[str, Figure]) -> None:
    headings = drawn["solver_convergence"].axes[: len(solver_convergence.FAMILIES)]
    for ax, (family, members) in zip(headings, solver_convergence.FAMILIES.items(), strict=True):
        assert ax.get_title(loc="left") == family
        legend = ax.get_legend()
        assert legend is not None
        shown = [text.get_text() for text in legend.get_texts()]
        assert shown == [solver_looks.SOLVERS[name].label for name in members]


def baseline_panels(drawn: dict[str, Figure]) -> dict[tuple[str, str, str], tuple[Axes, Axes]]:
    """Panel and strip by toy, metric and grid."""
    axes = drawn["re_vs_baselines"].axes
    keys = [
        (*column, grid)
        for column, grid in itertools.product(re_vs_baselines.COLUMNS, re_vs_baselines.GRIDS)
    ]
    assert len(axes) == 2 * len(keys) + 1
    return {key: (axes[2 * i], axes[2 * i + 1]) for i, key in enumerate(keys)}


def baseline_rows(toy: str, metric: str, grid: str) -> pd.DataFrame:
    table = baselines_table()
    mine = (table["toy"] == toy) & (table["metric"] == metric) & (table["schedule"] == grid)
    return table[mine]


def test_values_at_equal_calls_are_the_table(drawn: dict[str, Figure]) -> None:
    for key, (ax, _) in baseline_panels(drawn).items():
        rows = baseline_rows(*key)
        for solver in solver_orders.CODES:
            mine = rows[rows["solver"] == solver]
            (line,) = own(ax, f"value {solver}")
            np.testing.assert_array_equal(data(line)[0], mine["calls"])
            np.testing.assert_array_equal(data(line)[1], mine["value"].astype(float))
        bars = {str(bar.get_gid()): bar for bar in ax.collections}
        if key[1] == "path_rms":
            mine = rows[rows["solver"] == "evodiff"]
            ends = np.array(bars["stderr evodiff"].get_segments())[:, :, 1]
            np.testing.assert_allclose(
                ends[:, 1] - ends[:, 0], 2.0 * mine["stderr"].astype(float), rtol=1e-12
            )
        else:
            assert not any(gid.startswith("stderr") for gid in bars)


def test_only_heun_may_leave_the_axis_and_then_at_its_end(drawn: dict[str, Figure]) -> None:
    for key, (ax, _) in baseline_panels(drawn).items():
        low, high = ax.get_ylim()
        rows = baseline_rows(*key)
        others = rows.loc[rows["solver"] != "heun", "value"].dropna()
        assert low < others.min()
        assert others.max() < high


def test_strips_name_the_solver_of_the_least_value(drawn: dict[str, Figure]) -> None:
    for key, (ax, strip) in baseline_panels(drawn).items():
        rows = baseline_rows(*key).dropna(subset="value")
        for n in CALLS:
            mine = rows[rows["calls"] == n].set_index("solver")["value"].astype(float)
            (text,) = [t for t in strip.texts if t.get_gid() == f"winner {n}"]
            (box,) = [patch for patch in strip.patches if patch.get_gid() == f"winner {n}"]
            best = str(mine.idxmin())
            assert text.get_text() == solver_orders.CODES[best]
            assert box.get_facecolor()[:3] == to_rgb(solver_looks.SOLVERS[best].colour)
            assert text.get_position()[0] == n
            assert box.get_x() < n < box.get_x() + box.get_width()
        assert strip.get_xlim() == ax.get_xlim()


def test_missing_divergences_are_marked_by_their_kind(drawn: dict[str, Figure]) -> None:
    for key, (ax, _) in baseline_panels(drawn).items():
        rows = baseline_rows(*key)
        missing = rows[rows["value"].isna()]
        marks = [x for x in ax.get_lines() if str(x.get_gid()).startswith(("infin", "unset"))]
        assert len(marks) == len(missing) == (3 if key[1] == "kl_data_model" else 0)
        kinds = sorted((str(mark.get_gid()), mark.get_marker()) for mark in marks)
        if marks:
            assert kinds == [("infinite evodiff", "^")] * 2 + [("unsettled re_multi", "x")]
            (band,) = [patch for patch in ax.patches if patch.get_gid() == "band"]
            box = band.get_window_extent()
            for mark in marks:
                (_, y) = mark.get_transform().transform(np.column_stack(data(mark)))[0]
                assert box.y0 < y < box.y1
    legend = [text.get_text() for text in drawn["re_vs_baselines"].legends[0].get_texts()]
    assert {"infinite", "not converged"} < set(legend)
    assert all(sum(text.startswith(f"{c}:") for text in legend) == 1 for c in CODE_WORDS)


CODE_WORDS = tuple(solver_orders.CODES.values())


def shown_order(ax: Axes, label: str, n: int) -> list[str]:
    """Codes of one order from left to right."""
    texts = [text for text in ax.texts if text.get_gid() == f"order {label} {n}"]
    return [t.get_text() for t in sorted(texts, key=lambda text: text.get_position()[0])]


def test_orders_are_sorted_by_value(drawn: dict[str, Figure]) -> None:
    ax = drawn["re_vs_baselines"].axes[-1]
    for (toy, metric), grid in itertools.product(
        re_vs_baselines.ORDERED, re_vs_baselines.GRIDS.items()
    ):
        rows = baseline_rows(toy, metric, grid[0])
        rows = rows[rows["solver"].isin(re_vs_baselines.SHARED)]
        for n in CALLS:
            mine = rows[rows["calls"] == n].sort_values("value")
            expected = [solver_orders.CODES[name] for name in mine["solver"]]
            assert shown_order(ax, f"{style.TOYS[toy]}, {grid[1]}", n) == expected


def test_printed_orders_are_paper_cs(drawn: dict[str, Figure]) -> None:
    """C-v1 table 3, CIFAR-10, EDM, and the NeurIPS table on FFHQ."""
    ax = drawn["re_vs_baselines"].axes[-1]
    assert shown_order(ax, "CIFAR-10, EDM (v1)", 5) == ["RM", "v3", "U2", "2M", "He"]
    assert shown_order(ax, "CIFAR-10, ScoreSDE (v1)", 5) == ["v3", "RM", "U2", "2M"]
    assert shown_order(ax, "FFHQ-64, EDM (2025)", 5) == ["EV", "2M", "U2"]
    assert shown_order(ax, "FFHQ-64, EDM (2025)", 8) == []
    assert shown_order(ax, "CIFAR-10, EDM (v1)", 20) == ["RM", "U2", "v3", "2M", "He"]
    ties = [str(line.get_gid()) for line in ax.get_lines() if str(line.get_gid())[:3] == "tie"]
    assert ties == ["tie order CIFAR-10, EDM (v1) 20"]  # RE and UniPC, 2.01 both


def test_printed_fids_are_whole() -> None:
    read = printed("C")
    names = ["paper", "table", "dataset", "net", "solver", "schedule", "nfe", "metric", "value"]
    assert list(read.columns) == names
    table = read[(read["paper"] == "C-v1") & (read["metric"] == "FID")]
    assert table.groupby(["dataset", "net", "solver"]).size().eq(7).all()
    assert len(table) == 7 * (4 + 4 + 5)
    edm = table[(table["net"] == "EDM, 50k") & (table["solver"] == "RE")].set_index("nfe")["value"]
    assert edm.to_dict() == {5: 11.82, 6: 8.30, 8: 3.46, 10: 2.48, 12: 2.21, 15: 2.07, 20: 2.01}


def test_fewer_rows_than_the_whole_table_still_draw() -> None:
    table = baselines_table()
    for part in (table[table["schedule"] != "edm"], table[table["calls"] == 8]):
        re_vs_baselines.draw(part).draw_without_rendering()
    rows = convergence_table()
    solver_convergence.draw(rows[rows["toy"] == "circle8"]).draw_without_rendering()
    with pytest.raises(ValueError, match=r"solver must be one of ddim, .*, got ab_2"):
        re_vs_baselines.draw(table.replace({"solver": {"heun": "ab_2"}}))


def mixture_rows(toy: str, solver: str, name: str) -> pd.DataFrame:
    """Rows of one line of the mixtures table."""
    table = mixtures_table()
    mine = (table["toy"] == toy) & (table["solver"] == solver) & (table["schedule"] == name)
    return table[mine & (table["kind"] == "sampler")]


CASES = tuple(itertools.product(las_printed.PLACES, las_printed.SAMPLERS))


def test_likelihoods_and_divergences_are_the_table(drawn: dict[str, Figure]) -> None:
    axes = drawn["las_mixtures"].axes
    panels = {"nll": axes[:4], "forward": axes[4:8], "backward": axes[4:8]}
    columns = {"nll": "nll", "forward": "kl_data_model", "backward": "kl_model_data"}
    cases = itertools.product(panels, enumerate(CASES), las_mixtures.SCHEDULES)
    for what, (i, case), name in cases:
        rows = mixture_rows(*case, name)
        ax = panels[what][i]
        (line,) = own(ax, f"{what} {name}")
        np.testing.assert_array_equal(data(line)[0], NFES)
        np.testing.assert_array_equal(data(line)[1], rows[columns[what]].astype(float))
        assert line.get_color() == style.ALL_SCHEDULES[name].colour
        low, high = ax.get_ylim()
        values = data(line)[1][np.isfinite(data(line)[1])]
        assert ((low < values) & (values < high)).all()


def test_data_have_their_likelihood_and_2m_the_step_where_its_end_changes(
    drawn: dict[str, Figure],
) -> None:
    axes = drawn["las_mixtures"].axes
    for i, (_, solver) in enumerate(CASES):
        (line,) = own(axes[i], "data")
        assert set(data(line)[1]) == {3.0}
        marked = {set(data(x)[0]).pop() for ax in axes[i : i + 5 : 4] for x in own(ax, "lowered")}
        assert marked == ({15.0} if solver == "sde_dpmpp_2m" else set())


def test_printed_likelihoods_are_paper_bs_and_hollow(drawn: dict[str, Figure]) -> None:
    """The two toy tables of B-v1, LAS and EDM."""
    axes = drawn["las_mixtures"].axes
    want = {
        (0, "las"): [1.937, 1.639, 1.609],
        (1, "edm"): [5.585, 7.272, 3.897],
        (2, "vp_linear"): [4.310, 2.516, 1.849],
        (3, "las"): [1.875, 1.569, 1.586],
    }
    for (i, name), values in want.items():
        (marks,) = own(axes[i], f"printed {name}")
        np.testing.assert_array_equal(data(marks)[0], [5, 7, 10])
        np.testing.assert_array_equal(data(marks)[1], values)
        assert marks.get_markerfacecolor() == "none"
        assert (axes[i].get_ylim()[0] < min(values)) & (max(values) < axes[i].get_ylim()[1])
    assert not own(axes[0], "printed log_snr")


def test_numbers_beside_the_papers_are_ours_and_their_difference(drawn: dict[str, Figure]) -> None:
    (ax,) = [ax for ax in drawn["las_mixtures"].axes if "paper's tables" in ax.get_title("left")]
    texts = {str(text.get_gid()): text for text in ax.texts if text.get_gid()}
    printed = las_printed.published()
    assert len(texts) == 3 * len(printed) == 3 * 36
    for _, row in printed.iterrows():
        case = row["toy"], row["solver"], row["schedule"]
        name = f"{' '.join(case)} {row['nfe']}"
        paper, ours, gap = (texts[f"{what} {name}"] for what in las_printed.WORDS)
        assert float(paper.get_text()) == row["value"]
        if row["nfe"] not in NFES:
            assert ours.get_text() == gap.get_text() == "–"
            continue
        rows = mixture_rows(*case).set_index("nfe")
        value = float(rows.loc[row["nfe"], "nll"])
        assert ours.get_text() == f"{value:.3f}"
        assert float(gap.get_text().replace("−", "-")) == pytest.approx(
            value - row["value"], abs=5.001e-4
        )
        assert (gap.get_fontweight() == "bold") == (abs(value - row["value"]) > 0.1)


def test_differences_that_round_to_nothing_have_no_sign() -> None:
    assert las_printed.three(-0.0004, "+") == "+0.000"
    assert las_printed.three(-0.0006, "+") == "−0.001"
    assert las_printed.three(float("nan")) == "–"


def test_points_are_the_samples_in_square_panels(drawn: dict[str, Figure]) -> None:
    table = mixtures_table()
    panels = {
        str(points.get_gid()): (ax, points)
        for ax in drawn["las_mixtures"].axes
        for points in ax.collections
        if str(points.get_gid()).startswith("points")
    }
    assert len(panels) == 2 * 7
    for gid, (ax, points) in panels.items():
        _, toy, name = gid.split()
        mine = table[(table["toy"] == toy) & (table["schedule"] == name) & table["x"].notna()]
        shown = np.asarray(points.get_offsets())
        np.testing.assert_array_equal(shown, mine[["x", "y"]].sort_values(["x", "y"]))
        assert ax.get_aspect() == 1.0
        assert ax.get_xlim() == ax.get_ylim()
        assert ax.get_xlim()[1] > np.abs(shown).max()


def test_widths_and_likelihoods_lie_on_the_curve_that_they_are_made_of(
    drawn: dict[str, Figure],
) -> None:
    ax = drawn["las_mixtures"].axes[-1]
    (guide,) = own(ax, "guide")
    np.testing.assert_allclose(data(guide)[1], 3.0 + data(guide)[0] ** 2 - 1.0, rtol=1e-14)
    table = mixtures_table()
    marks = [line for line in ax.get_lines() if str(line.get_gid()).startswith("width")]
    assert len(marks) == 6 * 2
    for line in marks:
        _, name, solver = str(line.get_gid()).split()
        mine = table[(table["schedule"] == name) & (table["solver"] == solver)]
        shown = set(zip(*map(tuple, data(line)), strict=True))
        assert shown == set(zip(mine["within_std"], mine["nll"], strict=True))
        assert (line.get_markerfacecolor() == "none") == (solver == "sde_dpmpp_2m")


def test_printed_numbers_of_paper_b_are_whole() -> None:
    read = printed("B")
    assert list(read.columns) == list(printed("C").columns)
    nll, image = read[read["metric"] == "NLL"], read[read["dataset"] == "ImageNet-256"]
    assert nll.groupby(["dataset", "solver", "schedule"]).size().tolist() == [3] * 12
    assert not las_printed.published().isna().any(axis=None)
    assert image.groupby(["solver", "schedule"]).size().tolist() == [6] * 11
    assert len(read) == 36 + 66
    las = image[(image["schedule"] == "LAS") & (image["metric"] == "FID")]
    assert las["value"].tolist() == [15.71, 8.56, 6.20, 6.67, 4.59, 4.84]


def test_mixtures_draw_with_fewer_toys_samplers_and_schedules() -> None:
    table = mixtures_table()
    part = table[(table["toy"] == "circle8") & ~table["schedule"].isin(["las", "entropic"])]
    figure = las_mixtures.draw(part[part["solver"] != "sde_dpmpp_2m"])
    figure.draw_without_rendering()
    assert not lines(figure, "nll las")
    assert len(lines(figure, "printed las")) == 1
    assert len(lines(figure, "nll edm")) == 1
    with pytest.raises(ValueError, match=r"schedule must be one of vp_linear, .*, got cosine"):
        las_mixtures.draw(table.replace({"schedule": {"edm": "cosine"}}))


def test_bounds_kls_and_ratios_over_steps_are_the_table(drawn: dict[str, Figure]) -> None:
    table = pathwise_table()
    steps = table[table["kind"] == "steps"]
    bound, exact, ratio = drawn["pathwise_vs_terminal"].axes[:3]
    assert bound.get_ylim() == exact.get_ylim()
    for name in pathwise_vs_terminal.SCHEDULES:
        mine = steps[steps["schedule"] == name]
        for ax, what, values in (
            (bound, "bound", mine["pathwise_kl"]),
            (exact, "exact", mine["kl_data_model"]),
            (ratio, "ratio", mine["pathwise_kl"] / mine["kl_data_model"]),
        ):
            (line,) = own(ax, f"{what} {name}")
            np.testing.assert_array_equal(data(line)[0], [2, 4, 64])
            np.testing.assert_array_equal(data(line)[1], values)
            assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_bound_and_kl_along_a_schedule_are_the_table_with_sigma_falling(
    drawn: dict[str, Figure],
) -> None:
    table = pathwise_table()
    for ax, name in zip(
        drawn["pathwise_vs_terminal"].axes[3:7], pathwise_vs_terminal.FOLLOWED, strict=True
    ):
        mine = table[(table["kind"] == "level") & (table["schedule"] == name)]
        for what, column in (("bound", "pathwise_kl"), ("exact", "kl_data_model")):
            (line,) = own(ax, f"{what} {name}")
            np.testing.assert_array_equal(data(line)[0], mine["sigma_min"])
            np.testing.assert_array_equal(data(line)[1], mine[column])
        assert ax.get_xlim()[0] > ax.get_xlim()[1]
        last = mine.iloc[-1]
        (text,) = [text.get_text() for text in ax.texts if text.get_gid() == f"end {name}"]
        assert text == f"at the end: bound 18, KL {last['kl_data_model']:g}"


def test_lambdas_are_the_table_and_marked_at_the_best_and_by_the_rule(
    drawn: dict[str, Figure],
) -> None:
    table = pathwise_table()
    exact, bound, relative = drawn["pathwise_vs_terminal"].axes[7:]
    for n in (5, 10, 20):
        mine = table[(table["kind"] == "lambda") & (table["of_steps"] == n)]
        rule, lam = 0.5 / n, mine["lambda"].to_numpy()
        least = mine["kl_data_model"].min()
        for ax, what, scale, values in (
            (exact, "exact", 1.0, mine["kl_data_model"]),
            (bound, "bound", 1.0, mine["pathwise_kl"]),
            (relative, "relative", 1.0 / rule, mine["kl_data_model"] / least),
        ):
            (line,) = own(ax, f"{what} {n}")
            np.testing.assert_allclose(data(line)[0], lam * scale, rtol=1e-14)
            np.testing.assert_allclose(data(line)[1], values, rtol=1e-14)
            (best,), (chosen,) = (own(ax, f"{mark} {what} {n}") for mark in ("best", "rule"))
            np.testing.assert_allclose(data(best)[0], 1e-2 * scale, rtol=1e-12)
            np.testing.assert_allclose(data(best)[1], values.iloc[1], rtol=1e-12)
            np.testing.assert_allclose(data(chosen)[0], rule * scale, rtol=1e-12)
            height = np.exp(np.interp(np.log(rule), np.log(lam), np.log(values)))
            np.testing.assert_allclose(data(chosen)[1], height, rtol=1e-12)


def test_pathwise_figure_draws_what_there_is() -> None:
    table = pathwise_table()
    part = table[table["schedule"].isin(["edm", "las"]) & (table["of_steps"] != 20)]
    figure = pathwise_vs_terminal.draw(part)
    figure.draw_without_rendering()
    assert len(figure.axes) == 3 + 1 + 3
    assert not lines(figure, "exact log_snr")
    assert not lines(figure, "relative 20")
    with pytest.raises(ValueError, match=r"schedule must be one of edm, .*, got arctan"):
        pathwise_vs_terminal.draw(table.replace({"schedule": {"edm": "arctan"}}))


def test_levels_rises_and_strips_are_the_table(drawn: dict[str, Figure]) -> None:
    table = compared_table()
    levels, rises, _, strips = drawn["schedules_compared"].axes
    shown = {str(ticks.get_gid()): ticks for ticks in strips.collections}
    names = [label.get_text() for label in strips.get_yticklabels()]
    for i, name in enumerate(schedules_compared.SCHEDULES):
        sigma = table.loc[table["schedule"] == name, "sigma"].to_numpy()
        (line,), (rise,) = own(levels, f"level {name}"), own(rises, f"rise {name}")
        np.testing.assert_array_equal(data(line)[0], range(4))
        np.testing.assert_allclose(data(line)[1], -2.0 * np.log(sigma), rtol=1e-14)
        np.testing.assert_array_equal(data(rise)[0], [1, 2, 3])
        np.testing.assert_allclose(data(rise)[1], 2.0 * np.log(sigma[:-1] / sigma[1:]), rtol=1e-12)
        ticks = np.array(shown[f"ticks {name}"].get_segments())  # (4, 2, 2)
        np.testing.assert_allclose(ticks[:, 0, 0], -2.0 * np.log(sigma), rtol=1e-14)
        np.testing.assert_allclose(ticks.mean(axis=1)[:, 1], i, atol=1e-14)
        assert names[i] == style.ALL_SCHEDULES[name].label
    low, high = strips.get_xlim()
    assert low < -2.0 * np.log(100.0)
    assert high > -2.0 * np.log(0.01)


def test_risk_is_the_table_above_and_behind_the_strips(drawn: dict[str, Figure]) -> None:
    curve = compared_table().query("kind == 'curve'").sort_values("sigma", ascending=False)
    _, _, top, strips = drawn["schedules_compared"].axes
    (line,) = own(top, "risk")
    np.testing.assert_allclose(data(line)[0], -2.0 * np.log(curve["sigma"]), rtol=1e-14)
    np.testing.assert_array_equal(data(line)[1], curve["noise_risk"])
    (shade,) = [mesh for mesh in strips.collections if mesh.get_gid() == "risk"]
    np.testing.assert_array_equal(np.ravel(shade.get_array()), curve["noise_risk"])
    assert strips.get_shared_x_axes().joined(strips, top)


def test_sigma_above_the_risk_is_that_of_the_log_snr_below(drawn: dict[str, Figure]) -> None:
    (above,) = drawn["schedules_compared"].axes[2].child_axes
    for place, label in zip(above.get_xticks(), above.get_xticklabels(), strict=True):
        assert place == pytest.approx(-2.0 * np.log(float(label.get_text())))


def test_compared_schedules_may_be_fewer() -> None:
    table = compared_table()
    figure = schedules_compared.draw(table[~table["schedule"].isin(["las", "edm", "cosine"])])
    figure.draw_without_rendering()
    assert len(figure.axes[3].get_yticks()) == 6
    with pytest.raises(ValueError, match=r"schedule must be one of edm_linear, .*, got las_0"):
        schedules_compared.draw(table.replace({"schedule": {"las": "las_0"}}))


def test_ledger_has_a_line_and_a_mark_for_every_claim(drawn: dict[str, Figure]) -> None:
    table, figure = ledger_table(), drawn["claims_ledger"]
    for ax, (_, rows) in zip(figure.axes, table.groupby("paper"), strict=True):
        assert [t.get_text() for t in ax.get_yticklabels()] == rows["id"].tolist()
        marks = [line for line in ax.get_lines() if str(line.get_gid()).startswith("verdict")]
        assert [str(m.get_gid()).removeprefix("verdict ") for m in marks] == rows[
            "verdict"
        ].tolist()
        for mark, name in zip(marks, rows["verdict"], strict=True):
            assert to_rgb(mark.get_color()) == to_rgb(claims_ledger.VERDICTS[name].colour)
        bars = {round(p.get_y() + p.get_height() / 2): p.get_width() for p in ax.patches}
        exact = (rows["kind"] == "identity") & (rows["made_of"] == "rounding")
        wanted = {
            i: -np.log10(abs(value))
            for i, (is_exact, value) in enumerate(zip(exact, rows["value"], strict=True))
            if is_exact
        }
        assert bars == pytest.approx(wanted, abs=1e-9)
        written = ~exact | (rows["value"].abs() > 10.0**-0.5)
        assert len(ax.texts) == int(written.sum())


def test_ledger_refuses_a_verdict_it_has_no_look_for() -> None:
    with pytest.raises(ValueError, match=r"verdict must be one of holds, .*, got perhaps"):
        claims_ledger.draw(ledger_table().replace({"verdict": {"fails": "perhaps"}}))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.010486, "0.0105"), (152.167, "152"), (1e-6, "10⁻⁶"), (1.264e3, "1.26·10³"), (0.0, "0")],
)
def test_numbers_are_printed_as_in_print(value: float, text: str) -> None:
    assert style.number(value) == text


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in TABLES],
)
def test_saved_files_are_the_same_bytes_in_any_order_of_rows(
    drawn: dict[str, Figure],
    redrawn: dict[str, Figure],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "DPI", 50)  # only to be quick
    paths = registry.save(drawn[name], tmp_path / "new", name, write_bytes)
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.pdf"]
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    first = [path.read_bytes() for path in paths]
    assert [content[:4] for content in first] == [b"\x89PNG", b"%PDF"]
    assert b"CreationDate" not in first[1]
    again = registry.save(redrawn[name], tmp_path, name, write_bytes)
    assert [path.read_bytes() for path in again] == first


def test_interrupted_save_leaves_the_old_files(
    drawn: dict[str, Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn["entropic_time"]
    for kind in ("png", "pdf"):
        (tmp_path / f"plot.{kind}").write_text("old")

    def fail(stream: io.BytesIO, format: str, **_: object) -> None:
        stream.write(b"half")
        if format == "pdf":
            raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(KeyboardInterrupt):
        registry.save(figure, tmp_path, "plot", write_bytes)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "plot.png": "old",
        "plot.pdf": "old",
    }


def test_save_names_the_folder_it_cannot_write(drawn: dict[str, Figure], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ValueError, match="file: must be a writable folder, got File exists"):
        registry.save(drawn["entropic_time"], blocked, "plot", write_bytes)


def test_called_levels_show_the_gain_and_every_pair(drawn: dict[str, Figure]) -> None:
    figure = drawn["called_levels"]
    assert (
        "DDIM and ancestral sampling have a KL 4 and 8 times lower"
        in figure.legends[0].get_title().get_text()
    )
    lines = {line.get_gid(): line for ax in figure.axes for line in ax.get_lines()}
    np.testing.assert_allclose(
        lines["report-03 called_ddim"].get_ydata(), 1.0 / np.array([4, 8, 16]) ** 2
    )
    np.testing.assert_allclose(
        lines["network called_ddim"].get_ydata(), 60.0 / np.array([4, 8, 16])
    )
    assert len(figure.axes) == 3


def test_regrets_are_medians_of_the_reported_half(drawn: dict[str, Figure]) -> None:
    figure = drawn["schedule_regret"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "stochastic DDIM",
        "DPM++(2M)",
    ]
    for name, factor in (("optimal", 1.01), ("law", 1.1), ("las", 1.5), ("edm", 6.0)):
        for line in lines(figure, f"median {name}"):
            assert data(line)[0] == pytest.approx([factor * 1.1])
        for line in lines(figure, f"range {name}"):
            assert data(line)[0] == pytest.approx([factor, factor * 1.2])
    far = lines(figure, "median sdm")  # infinite in two of the three mixtures, unknown in one
    assert all(data(line)[0][0] > 1e4 for line in far)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "∞" in texts
    assert figure.get_suptitle() == (
        "stochastic DDIM: levels from the profile alone cost 1.11 times the least KL, LAS 1.65, "
        "EDM's grid 6.6"
    )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["optimal", "law", "LAS", "EDM grid (ρ = 7)", "SDM"]


def test_the_figure_of_levels_shows_them(drawn: dict[str, Figure]) -> None:
    figure = drawn["optimal_levels"]
    for solver in ("stochastic_ddim", "ddim"):
        (marks,) = lines(figure, f"levels {solver}")
        np.testing.assert_allclose(data(marks)[0], [80.0, 2.0, 0.2, 0.002])
    (dots,) = lines(figure, "levels on the kernel")
    np.testing.assert_allclose(data(dots)[0], [2.0, 0.2, 0.002])
    for column in ("law", "diagonal"):
        (line,) = lines(figure, column)
        x, y = data(line)
        assert np.trapezoid(y, np.log(x)) == pytest.approx(3.0)
    assert "of the law's steps" in figure.get_suptitle()
