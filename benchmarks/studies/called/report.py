"""The tables of docs/called_levels.md, from the rows of the studies of called levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

# Every sampler that calls below its state, with the one that differs in nothing else.
PAIRS = {
    "called_ddim": "ddim",
    "ddim:call=matched": "ddim",
    "called_ancestral": "stochastic_ddim",
    "stochastic_ddim:call=matched": "stochastic_ddim",
    "analytic_ddpm": "stochastic_ddim",
}
SECOND_ORDER = ("dpmpp_2m", "unipc_2", "deis_2", "heun")
HALF = "report"  # on which nothing was chosen
REFERENCE = "ddim"


def reported(table: pd.DataFrame, schedule: str) -> pd.DataFrame:
    """KL on the reported mixtures: one row per calls and mixture, one column per sampler.

    A KL that is infinite counts as such; an unknown one is NaN.
    """
    rows = table[
        (table["data"] == "mixture") & (table["half"] == HALF) & (table["schedule"] == schedule)
    ]
    values = pd.to_numeric(rows["kl_data_model"])
    infinite = values.isna() & (pd.to_numeric(rows["error"]) == 0.0)
    rows = rows.assign(kl=values.mask(infinite, np.inf))
    return rows.pivot(index=["calls", "toy"], columns="sampler", values="kl")


def gains(table: pd.DataFrame, schedule: str) -> pd.DataFrame:
    """KL of a sampler over that of the one that calls at its state, on the same levels.

    Returns:
        One row per sampler and number of calls, with "median", "worst", "lower" (the number of
        mixtures where it is below 1) and "count".
    """
    wide, parts = reported(table, schedule), []
    for sampler, plain in PAIRS.items():
        if {sampler, plain} <= set(wide):
            ratio = (wide[sampler] / wide[plain]).dropna()
            found = ratio.groupby("calls").agg(
                median="median", worst="max", lower=lambda v: int((v < 1.0).sum()), count="size"
            )
            parts.append(found.reset_index().assign(sampler=sampler))
    return pd.concat(parts, ignore_index=True)


def gains_markdown(table: pd.DataFrame, schedule: str) -> list[str]:
    """Lines of a Markdown table: median, worst case and count of `gains`, by calls."""
    found = _by(gains(table, schedule), "sampler", "calls")
    counts = sorted({count for _, count in found})

    def cell(sampler: str, count: int) -> str:
        if (sampler, count) not in found:
            return ""
        one = found[sampler, count]
        return (
            f"{shown(one['median'])} ({shown(one['worst'])}), "
            f"{one['lower']:.0f} of {one['count']:.0f}"
        )

    names = [n for n in PAIRS if n in {sampler for sampler, _ in found}]
    return grid(
        ["sampler", "over", *(f"{count} calls" for count in counts)],
        ([f"`{n}`", f"`{PAIRS[n]}`", *(cell(n, count) for count in counts)] for n in names),
    )


def places_markdown(table: pd.DataFrame, schedule: str) -> list[str]:
    """Lines of a Markdown table: median KL over that of DDIM with the same calls and levels."""
    wide = reported(table, schedule)
    ratio = wide.div(wide[REFERENCE], axis=0).groupby("calls").median()
    counts = [int(count) for count in ratio.index]
    names = [n for n in (REFERENCE, "stochastic_ddim", *PAIRS, *SECOND_ORDER) if n in ratio]
    return grid(
        ["sampler", *(f"{count} calls" for count in counts)],
        ([f"`{n}`", *(shown(ratio.at[count, n]) for count in counts)] for n in names),
    )


def wins(table: pd.DataFrame, schedule: str) -> dict[int, tuple[int, int]]:
    """By calls: mixtures where a profile-free called sampler is below every second-order one.

    Returns:
        Their number, and that of all mixtures.
    """
    wide = reported(table, schedule)
    ours = wide[["called_ddim", "called_ancestral"]].min(axis=1)
    theirs = wide[list(SECOND_ORDER)].min(axis=1)
    won = (ours < theirs).groupby("calls").agg(["sum", "size"]).reset_index()
    return {
        int(one["calls"]): (int(one["sum"]), int(one["size"])) for one in won.to_dict("records")
    }


def products_markdown(table: pd.DataFrame, calls: int, schedule: str = "edm") -> list[str]:
    """Lines of a Markdown table: KL per coordinate on products of Gaussians."""
    rows = table[
        (table["data"] == "product") & (table["schedule"] == schedule) & (table["calls"] == calls)
    ]
    wide = rows.pivot(index="sampler", columns="toy", values="kl_data_model")
    toys = list(dict.fromkeys(rows["toy"]))
    names = list(dict.fromkeys(rows["sampler"]))
    return grid(
        ["sampler", *toys], ([f"`{n}`", *(shown(wide.at[n, toy]) for toy in toys)] for n in names)
    )


def samples_markdown(table: pd.DataFrame, toy: str, schedule: str = "edm") -> list[str]:
    """Lines of a Markdown table: Frechet distances of samples in 32 dimensions by calls."""
    rows = table[(table["data"] == "samples") & (table["toy"] == toy)]
    floor = float(rows[rows["sampler"] == "data"]["frechet"].iloc[0])
    rows = rows[(rows["sampler"] != "data") & (rows["schedule"] == schedule)]
    wide = rows.pivot(index="sampler", columns="calls", values="frechet")
    names = list(dict.fromkeys(rows["sampler"]))
    lines = grid(
        ["sampler", *(f"{count:.0f} calls" for count in wide)],
        ([f"`{n}`", *(shown(wide.at[n, count]) for count in wide)] for n in names),
    )
    return [*lines, f"| the data | {' | '.join([shown(floor)] * wide.shape[1])} |"]


def networks_markdown(table: pd.DataFrame, target: str) -> list[str]:
    """Lines of a Markdown table by share of the shift and calls.

    A cell has the score and half its interval, and its ratio to that with a share of 0 of the same
    trainings and seeds with its interval.
    """
    rows = table[(table["data"] == "network") & (table["toy"] == target)]
    found = _by(rows, "sampler", "share", "calls")
    counts = sorted({int(count) for count in rows["calls"]})

    def cell(sampler: str, share: float, count: int) -> str:
        if (sampler, share, count) not in found:
            return ""
        one = found[sampler, share, count]
        score = f"{one['score']:.3g} ± {one['score_half']:.2g}"
        if share == 0.0:
            return score
        return f"{score}; {one['ratio']:.2f} ({one['ratio_low']:.2f} to {one['ratio_high']:.2f})"

    keys = dict.fromkeys((sampler, share) for sampler, share, _ in found)
    return grid(
        ["sampler", "share", *(f"{count} calls" for count in counts)],
        (
            [f"`{sampler}`", f"{share:g}", *(cell(sampler, share, count) for count in counts)]
            for sampler, share in keys
        ),
    )


def told_markdown(rows: pd.DataFrame) -> list[str]:
    """Lines of a Markdown table: errors of networks of the mixture that are told a lower level.

    A cell has the mean squared error against the exact denoiser of the told level, and how much the
    exact denoiser itself moves from its own level to that one.

    Args:
        rows: The rows of the study of networks.
    """
    own = rows[(rows["kind"] == "error") & (rows["told_shift"] == 0.0)]
    mean = own.groupby(["sigma", "shift"])[["error", "change"]].mean().reset_index()
    found = _by(mean, "sigma", "shift")
    levels = sorted({sigma for sigma, _ in found})[2::2]
    shifts = sorted({shift for _, shift in found})
    return grid(
        ["$\\sigma$", *(f"shift {shift:g}" for shift in shifts)],
        (
            [
                f"{sigma:.2g}",
                *(
                    f"{found[sigma, shift]['error']:.2g}"
                    + (f" of {found[sigma, shift]['change']:.2g}" if shift else "")
                    for shift in shifts
                ),
            ]
            for sigma in levels
        ),
    )


def cure_markdown(rows: pd.DataFrame, target: str) -> list[str]:
    """Lines of a Markdown table: scores of a network and of one trained with lower told levels.

    Args:
        rows: The rows of the study of networks.
        target: Name of the data.
    """
    own = rows[(rows["kind"] == "score") & (rows["target"] == target) & (rows["training"] == 0)]
    mean = own.groupby(["sampler", "share", "told_shift", "calls"])["score"].mean().reset_index()
    found = _by(mean, "sampler", "share", "told_shift", "calls")
    told = sorted({shift for _, _, shift, _ in found})[-1]
    counts = sorted({int(count) for _, _, shift, count in found if shift == told})
    keys = dict.fromkeys((sampler, share) for sampler, share, shift, _ in found if shift == told)

    def cell(sampler: str, share: float, count: int) -> str:
        before, after = (found[sampler, share, shift, count]["score"] for shift in (0.0, told))
        return f"{before:.3g}, {after:.3g}"

    return grid(
        ["sampler", "share", *(f"{count} calls" for count in counts)],
        (
            [f"`{sampler}`", f"{share:g}", *(cell(sampler, share, count) for count in counts)]
            for sampler, share in keys
        ),
    )


def ceiling(rows: pd.DataFrame) -> pd.DataFrame:
    """The better end of each search, and the better start.

    Returns:
        One row per mixture, form, calls and history, with "plain" and "called" (the KL of the best
        levels of the solver, and of the one with called levels), "free", "free_changed" (on changed
        data) and "called_changed" (that of the better start on them).
    """
    out = []
    for key, part in rows.groupby(["toy", "noise", "calls", "history"], sort=False):
        both = part.to_dict("records")
        end = min(both, key=lambda one: float(one["kl_exact"]))
        start = min(both, key=lambda one: float(one["kl_start"]))
        begun = {str(one["start"]).startswith("called"): one["kl_start"] for one in both}
        out.append(
            dict(zip(("toy", "noise", "calls", "history"), key, strict=True))
            | {"plain": begun[False], "called": begun[True], "free": end["kl_exact"]}
            | {"free_changed": end["kl_changed"], "start_changed": start["kl_start_changed"]}
        )
    return pd.DataFrame(out)


def ceiling_markdown(rows: pd.DataFrame) -> list[str]:
    """Lines of a Markdown table of `ceiling`."""
    values = ("plain", "called", "free", "free_changed", "start_changed")
    return grid(
        ["mixture", "noise", "calls", "outputs", "best levels, state", "best levels, called",
         "free table", "free, data changed", "best levels, data changed"],
        (
            [str(one["toy"]), "yes" if one["noise"] else "no", f"{one['calls']}",
             f"{one['history']}", *(f"{one[name]:.2g}" for name in values)]
            for one in ceiling(rows).to_dict("records")
        ),
    )  # fmt: skip


def _by(table: pd.DataFrame, *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a table, by the values of these columns, in their order."""
    return {
        tuple(row[key] for key in keys): {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
    }


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def shown(value: Any) -> str:
    """A number with two or three digits, a dash where there is none."""
    if np.isnan(value):
        return "-"
    if value >= 1e4:
        return "> 10⁴"
    return f"{value:.2g}" if value < 1.0 else f"{value:.3g}"
