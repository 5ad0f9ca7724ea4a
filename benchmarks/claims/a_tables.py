"""Paper A's empirical statements: on toys by our exact study, on images by the printed tables.

Sections 6.1, F.1 and F.2 and Table 1 are those of v1; the limitations are the final version's.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading
from benchmarks.engine.results import printed_file, results_file
from benchmarks.studies.phase_diagram import PAPER_LABELS, paper_claims, read_rows, winners

PRINTED = printed_file("A")
IN_GENERAL = 0.5  # the paper's "in general" is read as "in most settings"
SOLVER_ROWS = results_file("re_vs_baselines_kl")
# Table 1 of v1, typed from its text: EDM's row, then the rescaled one, FID and FD-DINOv2.
FIRST_VERSION = (
    ((20.03, 8.18, 3.81, 263.60, 135.67, 86.32), (11.69, 4.95, 2.75, 194.02, 109.55, 81.25)),
    ((22.60, 9.46, 4.44, 284.74, 141.70, 79.86), (13.56, 5.59, 3.06, 208.27, 108.31, 72.06)),
    ((5.00, 2.49, 1.90, 128.25, 99.64, 92.88), (3.46, 2.15, 1.77, 117.26, 98.28, 93.34)),
    ((5.49, 2.55, 1.82, 120.35, 84.57, 74.87), (3.63, 2.09, 1.65, 104.88, 81.98, 75.87)),
)


@cache
def _study() -> pd.DataFrame:
    return read_rows()


@cache
def _printed(path: Path = PRINTED) -> pd.DataFrame:
    """The printed numbers, one column per schedule."""
    keys = ["table", "dataset", "net", "solver", "nfe", "metric"]
    wide = pd.read_csv(path).pivot_table(index=keys, columns="schedule", values="value")
    return wide.reset_index()


def toy_statement(case: Case, statement: str) -> Reading:
    """Section 6.1: the share of the study's settings in which a statement does not hold."""
    agreeing, total = paper_claims(_study(), PAPER_LABELS)[statement]
    return Reading(1.0 - agreeing / total, 0.0, f"holds in {agreeing} of {total} exact settings")


def smoothing_keeps_the_winner(case: Case) -> Reading:
    """Appendix F.1: the share of settings in which a kernel of std 0.01 changes the winner."""
    changed, total = paper_claims(_study(), PAPER_LABELS)["smoothing_changes_winner"]
    return Reading(changed / total, 0.0, f"the winner of three changes in {changed} of {total}")


def log_snr_wins(case: Case) -> Reading:
    """Not in section 6.1: the share of settings in which plain log-SNR wins."""
    won = winners(_study())["winner"].dropna()
    share = float((won == "log_snr").mean())
    counts = ", ".join(f"{name} {n}" for name, n in won.value_counts().items())
    return Reading(share, 0.0, f"of {len(won)} settings: {counts}")


def second_order_is_worse(case: Case) -> Reading:
    """Final, limitations: the share of settings in which Heun is no worse on the rescaled grid.

    The comparison is with EDM's grid, by exact KL on the two Gaussian mixtures at 5 to 20 calls.
    """
    rows = pd.read_csv(SOLVER_ROWS)
    rows = rows[(rows["solver"] == "heun") & rows["value"].notna()]
    wide = rows.pivot_table(index=["toy", "calls"], columns="schedule", values="value")
    worse = int((wide["rescaled"] > wide["edm"]).sum())
    return Reading(1.0 - worse / len(wide), 0.0, f"worse in {worse} of {len(wide)} exact settings")


def _cells(dataset: str | None, table: str | None = None) -> pd.DataFrame:
    rows = _printed()
    if dataset is not None:
        rows = rows[rows["dataset"] == dataset]
    return rows if table is None else rows[rows["table"] == table]


def printed_ratio(case: Case, dataset: str, over: str = "EDM", under: str = "rescaled") -> Reading:
    """The largest printed ratio of two schedules' scores on a data set, minus 1."""
    rows = _cells(dataset).dropna(subset=[over, under])
    ratio = rows[under] / rows[over]
    largest = int(ratio.to_numpy().argmax())
    shown = (
        f"{under} / {over} from {ratio.min():.3f} to {ratio.max():.3f} in {len(rows)} printed cells"
    )
    return Reading(float(ratio.max()) - 1.0, 0.005 / float(rows[over].iloc[largest]), shown)


def greater_at_few(case: Case) -> Reading:
    """Abstract: the share of printed series whose ratio at NFE 16 is not below that at NFE 64."""
    rows = _printed()
    ratio = rows.assign(ratio=rows["rescaled"] / rows["EDM"]).pivot_table(
        index=["table", "dataset", "net", "solver", "metric"], columns="nfe", values="ratio"
    )
    smaller = int((ratio[16] < ratio[64]).sum())
    return Reading(1.0 - smaller / len(ratio), 0.0, f"in {smaller} of {len(ratio)} printed series")


def networks_gain_alike(case: Case) -> Reading:
    """Appendix F.2: difference of the printed ratios of EDM2-S and EDM2-L on ImageNet-64."""
    rows = _cells("ImageNet-64")
    ratio = rows.assign(ratio=rows["rescaled"] / rows["EDM"]).pivot_table(
        index=["solver", "nfe", "metric"], columns="net", values="ratio"
    )
    apart = (ratio["EDM2-S"] - ratio["EDM2-L"]).abs()
    return Reading(float(apart.max()), 0.0, f"ratios differ by up to {apart.max():.3f}")


def consistently_better(case: Case) -> Reading:
    """Table 1: the worst ratio of rescaled to EDM, minus 1."""
    rows = _cells("ImageNet-64")
    ratio = rows["rescaled"] / rows["EDM"]
    worse = rows[ratio > 1.0]
    cells = ", ".join(f"{r.net} NFE {r.nfe} {r.metric}" for r in worse.itertuples())
    error = 0.01 / float(
        rows["EDM"].iloc[int(ratio.to_numpy().argmax())]
    )  # half of the last printed digit, twice
    shown = f"worse in {len(worse)} of {len(rows)} printed cells: {cells}"
    return Reading(float(ratio.max()) - 1.0, error, shown)


def consistently_better_typed(case: Case) -> float:
    """The excess of `consistently_better` from the text of v1."""
    return max(r / e for edm, ours in FIRST_VERSION for e, r in zip(edm, ours, strict=True)) - 1.0


def consistently_better_read(case: Case) -> float:
    """The excess of `consistently_better` from the final version's numbers in the CSV file."""
    return consistently_better(case).value
