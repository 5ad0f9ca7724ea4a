"""How every solver is drawn, the same in all figures.

In the DPM++, UniPC and DEIS families the line follows the number in the solver's name, which need
not be its order: dotted for 1, dashed for 2, solid for 3 (dash-dotted for DPM++(3M) in its authors'
code). In all other solvers the line only tells apart those of one colour.
"""

import pandas as pd
from matplotlib.typing import LineStyleType

from figures.parts.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Look

FIRST: LineStyleType = (0, (1, 1))
SECOND: LineStyleType = (0, (4, 1.5))
THIRD: LineStyleType = "-"
OTHER: LineStyleType = (0, (6, 1.5, 1, 1.5))

SOLVERS = {
    "ddim": Look("DDIM", BLACK, "o", FIRST),
    "dpmpp_2m": Look("DPM++(2M)", BLUE, "s", SECOND),
    "dpmpp_3m": Look("DPM++(3M), authors' code", BLUE, "D", OTHER),
    "dpmpp_3m corrected=True": Look("DPM++(3M), corrected", BLUE, "^", THIRD),
    "unipc_1": Look("UniPC-1", SKY, "o", FIRST),
    "unipc_2": Look("UniPC-2", SKY, "v", SECOND),
    "unipc_3": Look("UniPC-3", SKY, "^", THIRD),
    "deis_1": Look("DEIS-1 (= DDIM)", GREEN, "o", FIRST),
    "deis_2": Look("DEIS-2", GREEN, "p", SECOND),
    "deis_3": Look("DEIS-3", GREEN, "h", THIRD),
    "ab_2": Look("Adams-Bashforth 2", BLACK, "x", OTHER),
    "heun": Look("Heun (EDM)", BLACK, "X", SECOND),
    "dpm_solver_2": Look("DPM-Solver-2", BLUE, "P", SECOND),
    "fd_2": Look("FD, paper C eq. 3.7", PURPLE, "d", OTHER),
    "re_single": Look("RE single-step", PURPLE, "D", SECOND),
    "re_multi": Look("RE multi-step (v1)", ORANGE, "o", THIRD),
    "re_multi_2025": Look("RE multi-step (2025)", ORANGE, "s", FIRST),
    "evodiff": Look("EVODiff (released)", VERMILION, "*", THIRD, 1.6),
    "evodiff special_last=False": Look("EVODiff, plain last step", VERMILION, "^", SECOND),
    "stochastic_ddim": Look("stochastic DDIM\n(= Euler ancestral)", BLACK, "o", FIRST),
    "sde_dpmpp_2m": Look("SDE-DPM++(2M)", BLUE, "s", SECOND),
    "edm_stochastic s_noise=1.0": Look("EDM churn, S_noise 1", ORANGE, "^", THIRD),
    "edm_stochastic s_noise=1.003": Look("EDM churn, S_noise 1.003", VERMILION, "v", OTHER),
}


def names(table: pd.DataFrame) -> pd.Series:
    """For every row, the solver's name and options as a key of SOLVERS."""
    options = table["options"].astype(object)
    return (table["solver"] + " " + options.where(options.notna(), "")).str.strip()
