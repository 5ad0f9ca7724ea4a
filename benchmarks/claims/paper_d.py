"""Paper D (InfoNoise, Raya et al.): its statements as claims."""

from benchmarks.claims import channel as shared
from benchmarks.claims import (
    d_allocation,
    d_appendix,
    d_appendix_b,
    d_channel,
    d_empirical,
    d_points,
    d_schedule,
    d_two_points,
)
from benchmarks.claims.d_kinds import bound, identity, observation, pointwise
from benchmarks.claims.d_published import CIFAR10, PUBLISHED
from benchmarks.claims.ledger import Claim

INTRODUCTION: tuple[Claim, ...] = (
    observation(
        "intro",
        "section 1",
        "Most of the reduction of H[x0 | x] on images is in an intermediate window of noise.",
        "share of H in the window > 1/2; the value: 1/2 less that of two points in [a / 2, 2 a]",
        "none",
        d_two_points.sharpest_drop_is_near,
        command=f"entropic imagenet profile --net {CIFAR10} --data FILE --out out/cifar10_profile",
        most=1,
    ),
    bound(
        "intro.points",
        "section 1, points, the window ours",
        "Points lose 9/10 of their entropy between a tenth of the finest gap and ten deviations.",
        "H(10 std) - H(gap / 10) >= 9/10 H[x0]",
        "points",
        d_empirical.points_lose_it_at_their_scales,
        tolerance=0.0,
    ),
    pointwise(
        "fig2",
        "figure 2",
        "At equal noise, d equal pixels tell what one pixel tells at sigma / sqrt(d).",
        "p(x0 | x in R^d, sigma) = p(x0 | mean of x, sigma / sqrt(d))",
        "points",
        d_points.same_window_further_out,
    ),
)

PRELIMINARIES: tuple[Claim, ...] = (
    identity(
        "1",
        "eqs. (1), (20)",
        "The noisy state is the clean one plus independent Gaussian noise.",
        "x_sigma = x0 + sigma eps, eps ~ N(0, I)",
        "line",
        d_channel.marginal,
    ),
    identity(
        "2",
        "eq. (2)",
        "The forward SDE has the marginals of the channel.",
        "dx = sqrt(2 sigma) dW_sigma",
        "line",
        d_channel.forward_sde,
    ),
    identity(
        "3",
        "eq. (3)",
        "The reverse SDE has the marginals of the channel.",
        "dx = -2 sigma grad log p_sigma dsigma + sqrt(2 sigma) dW, sigma falling",
        "line",
        d_channel.reverse_sde,
    ),
    identity(
        "4",
        "eq. (4)",
        "Paths of the probability-flow ODE keep their share of the mass.",
        "dx / dsigma = -sigma grad log p_sigma  =>  F_a(x_a) = F_b(x_b)",
        "line",
        d_channel.probability_flow,
        made_of="integrator to 1e-13, of cumulative probabilities",
    ),
    identity(
        "4.weak",
        "eq. (4)",
        "The probability-flow ODE has the marginals of the channel, in the mean of test functions.",
        "d/dsigma E phi(x_sigma) = -sigma E[score . grad phi]",
        "line",
        d_channel.flow_drift,
    ),
    bound(
        "5",
        "eq. (5)",
        "The training objective is least at the posterior mean, whatever the schedule and weight.",
        "E_pi w E|E[x0 | x] - x0|^2 <= E_pi w E|D(x) - x0|^2",
        "line",
        d_channel.objective_minimum,
    ),
    identity(
        "6",
        "eq. (6)",
        "A schedule in another index u is the pushforward density over the noise level.",
        "pi(sigma) = pi_u(u(sigma)) |du / dsigma|",
        "none",
        d_schedule.pushforward,
    ),
    identity(
        "7",
        "eq. (7)",
        "Recipes of the same effective weight have the same objective.",
        "phi(sigma) = pi(sigma) w(sigma)",
        "gaussian",
        d_schedule.effective_weight,
    ),
    identity(
        "8",
        "eq. (8)",
        "The conditional entropy is the mean surprise of the clean sample given the noisy one.",
        "H[x0 | x] = E[-log p(x0 | x)], points",
        "points",
        d_channel.conditional_entropy,
    ),
    identity(
        "8.density",
        "eq. (8)",
        "For densities it is the differential entropy of the posterior, in the mean.",
        "h(x0 | x) = h(x0) + h(x | x0) - h(x)",
        "density",
        d_channel.conditional_entropy,
    ),
    identity(
        "9",
        "eq. (9)",
        "Mutual information is the entropy lost.",
        "I(x0; x) = H[x0] - H[x0 | x]",
        "several",
        shared.information_is_entropy_lost,
    ),
    identity(
        "10",
        "eqs. (10), (24)",
        "The Bayes error is the mean trace of the posterior covariance.",
        "mmse = E|x0 - E[x0 | x]|^2 = E tr Cov(x0 | x)",
        "line",
        shared.squared_error_is_posterior_variance,
    ),
    bound(
        "10.bound",
        "eq. (10), section 5",
        "The mmse bounds every estimator's error from below; so do online losses exceed it.",
        "mmse <= E|x0 - D(x)|^2",
        "line",
        d_channel.mmse_bounds_every_risk,
    ),
    identity(
        "11",
        "eqs. (11), (27)",
        "The entropy rate over the noise level is mmse / sigma^3.",
        "H_b - H_a = int_a^b mmse / s^3 ds",
        "line",
        shared.entropy_integral,
    ),
)

CLAIMS: tuple[Claim, ...] = (
    *INTRODUCTION,
    *PRELIMINARIES,
    *d_allocation.ALLOCATION,
    *d_appendix.CHANNEL,
    *d_appendix.DATA_SETS,
    *d_appendix.TWO_POINTS,
    *d_appendix_b.BOUNDARY,
    *d_appendix_b.DETAILS,
    *PUBLISHED,
)
