"""Paper C's statements in words: proposition 3.4's premise, smaller steps, no overhead in calls."""

from benchmarks.claims.c_measured import std_of
from benchmarks.claims.c_single import levels
from benchmarks.claims.c_variance import three
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.measure.conditional_entropy import predictions
from theory.solvers.registry import make_table
from toys.information import information
from toys.mixture import Mixture


def _terms(toy: Mixture, a: float, b: float) -> Reading:
    """DDIM from a to b: the data form's prediction term has at most the noise form's variance.

    x' = b / a x + (1 - b / a) D = x - (a - b) eps; the prediction terms are those with D and eps.
    """
    found = predictions(toy, a)
    share = 1.0 - b / a
    return at_most(share**2 * found["variance_d"], (share * a) ** 2 * found["variance_eps"])


def prediction_terms(case: Case) -> Reading:
    """Proposition 3.4 under its premise of independent predictions, at any level."""
    a, b = levels(case)
    return _terms(case.toy, a, b)


def prediction_terms_above(case: Case) -> Reading:
    """Proposition 3.4 at a level of at least the data's std c: at a, or at c^2 / a if a < c."""
    (a, b), c = levels(case), std_of(case)
    high = max(a, c**2 / a)
    return _terms(case.toy, high, b / a * high)


def prediction_terms_by_formula(case: Case) -> float:
    """The excess of `prediction_terms` on N(0, c^2).

    Var(D | x0) = rho^2 a^2 and Var(eps | x0) = (1 - rho)^2, rho = c^2 / (c^2 + a^2).
    """
    (a, b), c2 = levels(case), std_of(case) ** 2
    rho = c2 / (c2 + a**2)
    data, noise = (1.0 - b / a) ** 2 * (rho * a) ** 2, (a - b) ** 2 * (1.0 - rho) ** 2
    return (data - noise) / max(data, noise)


def shorter_step(case: Case) -> Reading:
    """Section 4.2: H(x_{i-1} | x_i) <= H(x_{i-1} | x_{i+1}): a shorter step to the same end.

    x_{i-1} follows a wider mixture, and the engine's entropy curve of it is taken at both noises.
    """
    (a1, a, b), toy = three(case), case.toy
    wide = Mixture(toy.weights, toy.means, (toy.stds**2 + b**2) ** 0.5)
    short, long = (
        float(information.conditional_entropy(wide, ((s - b) * (s + b)) ** 0.5)) for s in (a, a1)
    )
    size = 1.0 + max(abs(short), abs(long))
    return Reading((short - long) / size, 1e-11, f"{short:.6g} <= {long:.6g}")


def calls(solver: str, case: Case) -> int:
    """Denoiser calls of the engine's solver on the case's levels."""
    return int(make_table(solver, case.sigmas).nfe)


def calls_of_single_steps(case: Case) -> Reading:
    """(4.1) makes two calls per step, like (3.7), DPM-Solver-2 and Heun."""
    wanted = 2 * (case.sigmas.size - 1)
    names = ("re_single", "fd_2", "dpm_solver_2", "heun")
    return worst([relative(calls(name, case), wanted) for name in names])


def calls_of_algorithm(case: Case, more: int) -> Reading:
    """Algorithm 1 makes at most `more` calls more than DPM-Solver++(2M) at equal steps."""
    return at_most(calls("re_multi", case), calls("dpmpp_2m", case) + more)


def calls_by_lines(case: Case) -> float:
    """The excess of `calls_of_algorithm` from the listing: line 3 once, line 6 in every turn.

    For N >= 2 steps that is N + 1 calls; the two-step solver makes one call per step.
    """
    n_steps = case.sigmas.size - 1
    made = 1 + n_steps if n_steps > 1 else 1
    return (made - n_steps) / max(made, n_steps)
