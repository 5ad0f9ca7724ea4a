"""The published optimisers by name, with one contract, and those that are left out with the reason.

Every function takes (mixture, n_steps, sigma_max, sigma_min, *, solver) and returns noise levels of
shape (n_steps + 1,), strictly decreasing, with exact ends. It calls the exact denoiser only.
"""

from collections.abc import Callable
from functools import partial

from benchmarks.optimum.published.align_your_steps import align_your_steps_sigmas, klub_sigmas
from benchmarks.optimum.published.dm_nonuniform import dm_nonuniform_sigmas
from benchmarks.optimum.published.gits import gits_sigmas
from benchmarks.optimum.published.optimal_steps import optimal_steps_sigmas
from benchmarks.optimum.published.score_optimal import score_optimal_sigmas
from benchmarks.optimum.published.sdm import sdm_sigmas
from benchmarks.optimum.published.tangent_law import tangent_law_sigmas
from theory.checks import Array

PUBLISHED: dict[str, Callable[..., Array]] = {
    "ays": align_your_steps_sigmas,
    "ays_converged": partial(align_your_steps_sigmas, stop_early=False),
    "klub": klub_sigmas,
    "gits": gits_sigmas,
    "gits_dev": partial(gits_sigmas, measure="dev"),
    "oss": optimal_steps_sigmas,
    "dm_nonuniform": dm_nonuniform_sigmas,
    "score_optimal": score_optimal_sigmas,
    "tangent_law": tangent_law_sigmas,
    "sdm": sdm_sigmas,
}

LEFT_OUT: dict[str, str] = {
    "ld3": (
        "Tong et al. (2024) train the levels by gradients through the solver and a learned "
        "perceptual distance of images; without these it is the distance of oss with another search"
    ),
    "score_optimal_predictor": (
        "the predictor-optimised cost of Williams et al. (2024) needs formulas of their appendix "
        "that were not at hand; they report the same image quality as with the corrector's cost"
    ),
    "sdm_first_stage": (
        "the first stage of Jo and Choi (2026) has absolute bounds for norms of images; only their "
        "resampling to N steps is here"
    ),
    "elbo_programme": (
        "the dynamic programme of Watson et al. (2021) minimises the evidence bound; with an exact "
        "denoiser its cost of a step is that of klub, on a grid of levels"
    ),
    "ddss": (
        "Watson et al. (2022) train levels and weights of the sampler on a distance of features of "
        "an image network"
    ),
    "time_predictors": (
        "methods that train a network which chooses each sample's next level (AMED, TPDM and "
        "others) have no common list of levels"
    ),
}
