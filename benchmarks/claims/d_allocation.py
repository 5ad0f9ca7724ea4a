"""Paper D, claims of sections 3, 4 and 6.4: the allocation, the pivot and InfoGrid."""

from functools import partial

from benchmarks.claims import channel as shared
from benchmarks.claims import d_empirical, d_gate, d_info_grid, d_pivot, d_schedule
from benchmarks.claims.d_kinds import bound, identity, observation, pointwise
from benchmarks.claims.d_published import CIFAR10
from benchmarks.claims.ledger import Claim

FEW = 4  # random cases of measures that need dozens of mmse evaluations each

ALLOCATION: tuple[Claim, ...] = (
    identity(
        "12",
        "eq. (12), section 5",
        "The scheduling signal follows from the unweighted denoising loss.",
        "r(sigma) = E|x0 - D|^2 / sigma^3, as A.32",
        "line",
        partial(shared.rate_from_losses, parametrisation="x0"),
    ),
    identity(
        "12.weighted",
        "eq. (12), section 5",
        "It follows from the weighted loss of EDM too, once the weight is divided out.",
        "r(sigma) = (w loss) / (w sigma^3), as A.32",
        "line",
        partial(shared.rate_from_losses, parametrisation="edm"),
    ),
    identity(
        "13",
        "eq. (13), B.4",
        "The target density is the rate, gated or not, normalised.",
        "rho = r / int r, int rho = 1",
        "gaussian",
        d_schedule.normalised,
    ),
    identity(
        "14",
        "eq. (14)",
        "Entropic time u is the CDF of rho, and its inverse at uniform u draws from rho.",
        "F(sigma) = int_{sigma_min}^sigma rho, sigma = F^-1(u)",
        "gaussian",
        d_schedule.inverse_cdf,
    ),
    identity(
        "15",
        "eq. (15)",
        "Ungated, F is the normalised increase of the conditional entropy.",
        "F = (H(sigma) - H(sigma_min)) / (H(sigma_max) - H(sigma_min))",
        "line",
        d_schedule.normalised_entropy,
        most=FEW,
    ),
    identity(
        "16",
        "eq. (16)",
        "Sampling rho / w makes the effective emphasis rho; with w = 1 it is rho itself.",
        "pi = rho / w  =>  pi w = rho, in the mass of each cell of (14)",
        "gaussian",
        d_schedule.emphasis,
    ),
    pointwise(
        "17",
        "eq. (17)",
        "The gate is a Hill function of the noise level, with n = 3 unless stated otherwise.",
        "g(sigma) = sigma^n / (sigma^n + c^n)",
        "none",
        d_gate.gate_formula,
    ),
    identity(
        "18",
        "eq. (18), B.4",
        "The pivot for densities is the highest level at which r reaches p of its maximum.",
        "c = inf{sigma: r(s) / max r < p for all s >= sigma}, p = 0.002",
        "density",
        d_pivot.onset_rule,
        most=FEW,
    ),
    bound(
        "18.scan",
        "eq. (18), why from high noise: ours",
        "Scanned from low noise the rule would end at once, with a gate that changes little.",
        "first level of r >= p max r is sigma_min: g >= 1/2; by the rule g(sigma_min) <= 1/1000",
        "gaussian",
        d_pivot.scan_from_below,
    ),
    identity(
        "18.values",
        "ours, on eq. (18)",
        "For N(0, 1) the pivot is 0.6823 and for std 0.5 it is 0.500, where mmse = sigma^3.",
        "c^2 / (sigma (c^2 + sigma^2)) = p r(sigma_min), sigma_min = p = 0.002",
        "none",
        d_pivot.onset_values,
        made_of="Brent's method to 1e-14; the printed digits; sigma_min^2",
        most=1,
    ),
    bound(
        "18.points",
        "beside eq. (18), ours",
        "Why (18) is not used for points: on exact posteriors it puts the pivot above the "
        "informative levels.",
        "g(sigma*) <= 1/2, sigma* the peak of dH / dlog sigma; 7e-4 at 0.814 a for points at +-a",
        "points",
        d_pivot.onset_above_window,
        tolerance=0.0,
        most=FEW,
    ),
    identity(
        "19",
        "eq. (19)",
        "InfoGrid is uniform in the integral of s r(s); ungated that is rescaled entropic time.",
        "Psi(sigma) = int s r(s) ds / its total",
        "gaussian",
        d_info_grid.info_grid,
    ),
    identity(
        "19.log",
        "below eq. (19), our reading",
        "The extra factor sigma leaves the coordinate that of log noise: Psi is F of (14).",
        "sup |Psi - F| = 0, Psi from s r ds, F from r ds = s r dlog s",
        "gaussian",
        d_info_grid.log_noise_measure,
        corrected=d_info_grid.log_noise_is_training,
        correction="The coordinate F does not depend on the variable: in log noise it is "
        "int s r dlog s = int r ds. With ds, as (19) is read, the factor s makes another "
        "coordinate, the rescaled entropic time.",
        routes=(d_info_grid.coordinates_apart, d_info_grid.coordinates_apart_closed),
    ),
    observation(
        "infogrid",
        "section 6.4, figure 8",
        "InfoGrid's images are cleaner than those of EDM's grid, or comparable, at equal calls.",
        "FID(InfoGrid) <= FID(EDM), Heun, equal NFE; the value is a toy's error over EDM's, less 1",
        "none",
        d_empirical.info_grid_on_images,
        command=f"entropic imagenet generate --net {CIFAR10} --out DIR --solver heun "
        "--schedule infogrid",
        most=1,
    ),
    observation(
        "infogrid.toys",
        "beside section 6.4, ours",
        "InfoGrid is not worse than EDM's grid by more than 5 % with Heun at 7 and 15 calls, in "
        "most settings.",
        "share of E|x_end - flow(x)| on InfoGrid > 1.05 EDM's: 12 random mixtures, 2 budgets",
        "none",
        d_empirical.info_grid_on_toys,
        tolerance=0.5,
        made_of="a count: most",
        most=1,
    ),
    observation(
        "fig9",
        "section 6.4, figure 9",
        "Uniform steps of Psi reduce uncertainty more evenly than EDM's grid on images.",
        "largest share of H in one step, Psi / EDM < 1; the value is that of two points, less 1",
        "none",
        d_empirical.evenness_on_images,
        command=f"entropic imagenet profile --net {CIFAR10} --data FILE --out out/cifar10_profile",
        most=1,
    ),
    bound(
        "fig9.points",
        "beside figure 9, ours",
        "On points uniform F of (14) makes steps even in entropy; uniform Psi of (19) does not.",
        "largest of 8 shares of H: <= 1.1 / 8 on F, >= 2 / 8 on Psi",
        "points",
        d_empirical.evenness_on_points,
        tolerance=0.0,
        made_of="a tenth of a step for the interpolation of 60 levels",
        most=FEW,
    ),
)
