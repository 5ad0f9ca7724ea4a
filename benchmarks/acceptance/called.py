"""Acceptance checks of called levels: `python -m benchmarks.acceptance.called`.

The checks are formulas and solvers (by the tests that do them), mixtures, networks and free (from
the committed rows), and last_step: the level of the call of a step to 0, which
`docs/called_levels.md` decides by this measurement.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.acceptance.report import Check, by_tests, run
from benchmarks.engine.store import Store
from benchmarks.measure.divergences import exact_kl
from benchmarks.studies.called import ceiling, report
from benchmarks.studies.called_levels import SCHEDULES, called_levels, network_rows
from benchmarks.studies.schedule_regret import HIGH, mixtures
from theory.schedules.standard import edm_sigmas
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from toys.files import load_toy

ENDS, STEPS = (0.002, 0.03, 0.1, 0.3), (4, 8, 16)
SOLVERS = ("called_ddim", "called_ancestral")


def last_step() -> Iterator[Check]:
    """KL with the last call at sigma / sqrt(2), over that with it at sigma, on Gaussians."""
    data = [load_toy(text) for name, text in mixtures().items() if name.startswith("look")]
    data = [toy for toy in data if toy.has_density]
    for low in ENDS:
        for solver in SOLVERS:
            medians, every = [], []
            for n_steps in STEPS:
                sigmas = edm_sigmas(n_steps, HIGH, low, "zero")
                table = make_table(solver, sigmas, HIGH)
                assert isinstance(table, SolverTable)
                plain = replace(table, sigma=np.append(table.sigma[:-1], sigmas[-2]))
                ratios = []
                for toy in data:
                    ours, other = (exact_kl(toy, t, rtol=1e-4).value for t in (table, plain))
                    assert ours is not None
                    assert other is not None
                    ratios.append(ours / other)
                medians.append(float(np.median(ratios)))
                every += ratios
            text = f"medians {', '.join(f'{m:.2f}' for m in medians)} at N = 4, 8, 16; "
            text += f"{min(every):.2f} to {max(every):.2f} on {len(data)} mixtures"
            yield Check(f"{solver}, last level {low:g}", "no target", text, None)


def formulas() -> Iterator[Check]:
    """The formulas by two routes each, and the orders."""
    claims = ["tests/test_claims_ours.py", "-k", "called"]
    yield from by_tests({
        "formulas and their remainders": ("two routes", ["tests/test_theory_called.py", *claims]),
        "orders": ("2 +- 0.15 on Gaussians, 1 +- 0.15 on five of them",
                   ["tests/test_measure_orders.py", "-k", "called or order"]),
    })  # fmt: skip


def solvers() -> Iterator[Check]:
    """Kernels, networks and exact law agree for every table."""
    yield from by_tests({
        "tables and oracles": ("equal", ["tests/test_theory_solvers.py", "tests/test_oracles.py"]),
        "networks": ("equal", ["tests/test_networks_sampling.py"]),
        "laws and gradients": ("equal", ["tests/test_toys_laws.py", "tests/test_toys_gradient.py",
                                         "-k", "called or every or solver"]),
    })  # fmt: skip


def mixtures_and_products() -> Iterator[Check]:
    """What the call below the state is worth, on the half on which nothing was chosen."""
    rows = called_levels("committed", Store(Path("unused")), None)
    for schedule in (*SCHEDULES, "optimal"):
        tables = {"median over DDIM": report.places_markdown(rows, schedule)}
        if schedule != "optimal":
            tables["median (worst), lower"] = report.gains_markdown(rows, schedule)
            counts = report.wins(rows, schedule).items()
            text = "; ".join(f"{c} calls {n} of {m}" for c, (n, m) in counts)
            yield Check(f"below every second-order solver, {schedule}", "a finding", text, None)
        for what, lines in tables.items():
            for line in lines[2:]:
                yield Check(f"{what}, {schedule}", "a finding", line.strip("| "), None)
    for line in report.products_markdown(rows, 8)[2:]:
        yield Check("products, 8 calls, EDM's grid", "a finding", line.strip("| "), None)


def networks() -> Iterator[Check]:
    """Scores with a share of the shift over those without, with 95 % intervals."""
    rows = network_rows()
    for row in rows[rows["share"] > 0].to_dict("records"):
        text = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        label = f"{row['toy']}, {row['sampler']}, share {row['share']:g}, {row['calls']} calls"
        yield Check(label, "a finding", text, None)


def free() -> Iterator[Check]:
    """Free tables: their KL by the exact law, and how far solvers are from them."""
    rows = pd.read_csv(ceiling.FREE_ROWS)
    apart = float((rows["kl"] / rows["kl_exact"] - 1.0).abs().max())
    yield Check("KL of the search against the exact law", "1 %", f"{apart:.1e}", apart <= 0.01)
    for row in report.ceiling(rows).to_dict("records"):
        form = "noisy" if row["noise"] else f"deterministic, history {row['history']}"
        best, called = row["plain"] / row["free"], row["called"] / row["free"]
        text = f"{best:.3g} below the best levels, {called:.3g} below those of called levels; "
        text += f"{row['free_changed']:.2g} on changed data"
        yield Check(f"{row['toy']}, {form}, {row['calls']} calls", "a finding", text, None)


CHECKS = {
    "formulas": formulas,
    "solvers": solvers,
    "mixtures": mixtures_and_products,
    "networks": networks,
    "free": free,
    "last_step": last_step,
}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
