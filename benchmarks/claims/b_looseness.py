"""How loose paper B's bound is along a schedule: pathwise against terminal KL, both exact.

The paper says (section 5): "the looseness is most pronounced at large SNR". This has two readings:
the ratio of the two KLs at each level, and the share of a step's pathwise KL that is slack, i.e.
does not appear in the KL of the laws.
"""

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most
from benchmarks.measure.mmse_slope import disc
from benchmarks.measure.pathwise import terminal_kl
from theory.checks import Array
from theory.gaussian import gaussian_kl_data_model, gaussian_mmse, table_variances
from theory.profiles.profile import Profile
from theory.schedules.las_levels import las_sigmas, natural_lambda
from theory.solvers.ddim import stochastic_ddim_table

LAW_RTOL = 1e-6
SPAN = (10.0, 0.02)  # highest and lowest level in units of the data's std


def geometric(case: Case) -> Array:
    """A log-SNR grid over SPAN with the case's number of steps, at least 3."""
    std = np.sqrt(case.toy.variance)
    return np.asarray(std * np.geomspace(*SPAN, max(case.sigmas.size, 4)))


def kls(case: Case, sigmas: Array) -> tuple[Array, Array]:
    """Pathwise KL up to each level but the first, and KL of the laws there; exact denoiser."""
    ends = [
        terminal_kl(case.toy, sigmas[: n + 1], rtol=LAW_RTOL).value for n in range(1, sigmas.size)
    ]
    infinite = [np.inf if kl is None else kl for kl in ends]
    return np.cumsum(disc(case.toy, sigmas)), np.array(infinite)


def ratio_at_the_end(case: Case) -> Reading:
    """The ratio of pathwise to terminal KL is largest at the last level of a log-SNR grid."""
    paths, ends = kls(case, geometric(case))
    ratio = paths / ends
    return at_most(ratio[:-1], ratio[-1])


def slack_in_proportion(case: Case) -> Reading:
    """The share of slack in steps below half the data's std, against that in steps above."""
    sigmas = geometric(case)
    paths, ends = kls(case, sigmas)
    own = np.diff(paths, prepend=0.0)
    slack = own - np.diff(ends, prepend=0.0)
    early = sigmas[1:] >= 0.5 * np.sqrt(case.toy.variance)
    return at_most(slack[early].sum() / own[early].sum(), slack[~early].sum() / own[~early].sum())


def slack_never_falls(case: Case) -> Reading:
    """No step removes slack: KL_b <= KL of (X_a, X_b) = KL_a + the step's pathwise KL."""
    paths, ends = kls(case, case.sigmas)
    before = np.concatenate([[0.0], ends[:-1]])
    return at_most(ends, before + np.diff(paths, prepend=0.0), error=LAW_RTOL)


def bound_is_no_aim(case: Case) -> Reading:
    """On N(0, c^2) LAS with its saturating axis ends with a smaller KL than the bound's optimum."""
    c = float(case.toy.stds[0, 0])
    n = max(case.sigmas.size - 1, 2)
    low, high = 0.02 * c, 80.0 * c
    grid = np.geomspace(low, high, 200)
    profile = Profile(1, grid, gaussian_mmse(grid, c))
    found = []
    for lam in (None, 0.0):
        sigmas = las_sigmas(n, high, low, profile=profile, lambda_=lam)
        table = stochastic_ddim_table(sigmas, float(np.hypot(c, high)))
        end = table_variances(table, c)[-1]
        found.append(float(gaussian_kl_data_model(c**2 + low**2, end)))
    words = f"lambda {natural_lambda(profile, n):.3g}"
    reading = at_most(found[0], found[1])
    return reading._replace(detail=f"{reading.detail} nats, {words}")
