"""Paper D, section 6: published numbers of runs on images and DNA, which need the data to repeat.

They are ratios of InfoNoise to the best fixed schedule: examples needed for the same quality, or
final FID. The text at hand has lost most entries of Table 1; these are reported elsewhere.
"""

from functools import partial

from benchmarks.claims.d_empirical import pivot_mmse, printed, published
from benchmarks.claims.ledger import Claim, Measure

CIFAR10 = "edm-cifar10-32x32-uncond-vp.pkl"
FROM = "printed digits"
RUNS = "entropic train --preset {name}_{{recipe}}.json --out out/{name}_{{recipe}} --device cuda"


def _training(name: str, recipes: tuple[str, ...] = ("infonoise", "edm")) -> str:
    """The commands of the training runs to compare, one per recipe."""
    return " && ".join(RUNS.format(name=name).format(recipe=recipe) for recipe in recipes)


def _speedup(name: str, number: str, data: str, factor: float, preset: str, *recipes: str) -> Claim:
    return Claim(
        f"D.table1.{name}",
        number,
        f"InfoNoise needs no more examples than the best fixed schedule on {data}.",
        f"kEx(InfoNoise) / kEx(best fixed) = 1 / {factor:g} <= 1",
        "empirical",
        "none",
        partial(published, number=1.0, reference=factor, what="examples to the same quality"),
        0.0,
        FROM,
        command=_training(preset, recipes or ("infonoise", "edm")),
        most=1,
    )


def _pivot(name: str, statement: str, formula: str, measure: Measure, command: str) -> Claim:
    return Claim(
        f"D.pivot.{name}",
        "ours, a pivot reported outside the text",
        statement,
        formula,
        "empirical",
        "none",
        measure,
        0.0,
        FROM,
        command=command,
        most=1,
    )


PUBLISHED: tuple[Claim, ...] = (
    _speedup("mnist", "table 1(b)", "MNIST", 1.0, "mnist"),
    _speedup("fashion", "table 1(b)", "FashionMNIST", 1.0, "fashionmnist"),
    _speedup("cifar10", "table 1(b), figure 6", "CIFAR-10", 1.4, "cifar10"),
    _speedup("cifar10_cond", "table 1(b), figure 7", "CIFAR-10 by class", 1.4, "cifar10_cond"),
    _speedup(
        "discrete_least",
        "table 1(a), figure 4",
        "the discrete set where it gains least (1.5)",
        1.5,
        "bmnist",
        "infonoise",
        "log_uniform",
        "edm",
    ),
    _speedup(
        "discrete_most",
        "table 1(a), figure 4",
        "the discrete set where it gains most (2.8, DNA)",
        2.8,
        "dna",
        "infonoise",
        "log_uniform",
        "edm",
    ),
    Claim(
        "D.abstract",
        "abstract",
        "InfoNoise needs up to three times fewer training steps on discrete data.",
        "3 <= largest speed-up of table 1(a), 2.8",
        "empirical",
        "none",
        partial(published, number=3.0, reference=2.8, what="speed-up, abstract and table"),
        0.1,  # one digit of 3
        FROM,
        command=_training("dna", ("infonoise", "log_uniform", "edm")),
        most=1,
    ),
    Claim(
        "D.table1.ffhq",
        "table 1(b)",
        "InfoNoise stays competitive with EDM's tuned schedule on FFHQ.",
        "FID 2.56 against 2.53",
        "empirical",
        "none",
        partial(published, number=2.56, reference=2.53, what="FID, InfoNoise and EDM"),
        0.02,  # our reading of "competitive"
        FROM,
        command=f"{_training('ffhq64')} && entropic imagenet generate "
        "--net out/ffhq64_infonoise --out DIR",
        most=1,
    ),
    Claim(
        "D.fig5",
        "section 6.2, figure 5",
        "The schedule settles early: consecutive samplers differ by less than 0.01 in CDF.",
        "sup |F_k - F_(k+1)| < 0.01 after the first rebuilds",
        "empirical",
        "none",
        partial(printed, number=0.01, what="largest change of the CDF"),
        0.01,
        FROM,
        command=_training("dna", ("infonoise",)),
        most=1,
    ),
    _pivot(
        "cifar10",
        "The pivot on CIFAR-10 is about 0.15: by (18) the mmse per pixel there is 0.0034.",
        "c = 0.15: mmse / D = c^3, from sigma_min = p; the value is c^3",
        partial(pivot_mmse, pivot=0.15),
        f"entropic imagenet profile --net {CIFAR10} --data FILE --out out/cifar10_profile",
    ),
    _pivot(
        "dna",
        "The pivot on DNA is about 0.2, where the power law of (49) ends.",
        "c = 0.2: the end of constant slope; the value is c",
        partial(printed, number=0.2, what="pivot"),
        _training("dna", ("infonoise",)),
    ),
)
