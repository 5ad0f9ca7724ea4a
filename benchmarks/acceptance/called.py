"""Acceptance checks of called levels: `python -m benchmarks.acceptance.called`.

The one check so far is last_step: the level of the call of a step to 0, which
`docs/called_levels.md` decides by this measurement.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.acceptance.report import Check, run
from benchmarks.measure.divergences import exact_kl
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


CHECKS = {"last_step": last_step}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
