"""Paper C, claims of its tables and figures."""

from functools import partial

from benchmarks.claims import c_tables
from benchmarks.claims.c_records import ORDERED, Wrong, inequality, needs_data
from benchmarks.claims.ledger import Claim

_GENERATE = "entropic imagenet generate --net {} --solver {} --out DIR"
_TABLE = "entropic imagenet table --preset ROW --net {} --ref FILE --out DIR"
_EQUAL = "FID of the paper's iteration <= FID of the others, at equal calls"
_LEAST = "least FID of RE <= least FID of each other, each at calls of its own"
EMPIRICAL: tuple[Claim, ...] = (
    needs_data(
        "fig1",
        "Figure 1",
        "Stable Diffusion samples of algorithm 1 look better than DPM-Solver++(2M)'s, 10 calls.",
        partial(c_tables.drawn, solver="re_multi", other="dpmpp_2m"),
        _GENERATE.format("FILE", "re_multi"),
        "samples at 10 calls, without a number; on a toy, KL of algorithm 1 <= of (2M)",
    ),
    needs_data(
        "fig2",
        "Figure 2",
        "RE steps have lower FID than FD steps in every ablation; FD is Heun, (3.7) at t_{i-1}.",
        partial(c_tables.drawn, solver="re_single", other="heun"),
        _GENERATE.format("FILE", "re_single"),
        "FID of (4.1) <= of (3.7), drawn without numbers; on a toy, KL of (4.1) <= of Heun",
    ),
    inequality(
        "fig2.gaussian",
        "ours, beside Figure 2, on exact Gaussian data",
        "Ten single RE steps end nearer to the data than ten FD steps.",
        "|std of (4.1) - exact| <= |std of (3.7) - exact|",
        c_tables.single_steps_on_gaussian,
        domain="gaussian",
        span=ORDERED,
        wrong=Wrong(c_tables.single_steps_by_factors),
    ),
    needs_data(
        "fig3",
        "Figure 3",
        "On ImageNet-256 single RE steps improve samples in 10 to 20 steps.",
        partial(c_tables.drawn, solver="re_single", other="ddim"),
        _GENERATE.format("FILE", "re_single"),
        "samples in 10 to 20 steps, without a number; on a toy, KL of (4.1) <= of DDIM",
    ),
    needs_data(
        "fig4",
        "Figure 4, section 5.1",
        "On CIFAR-10 single RE steps reach FID 3.15 in 84 calls, DDPM 3.17 in 1000.",
        c_tables.limits_of_sampling,
        _GENERATE.format("FILE", "re_single"),
        "FID of RE in 84 calls <= FID of DDPM in 1000",
    ),
    *(
        needs_data(
            name,
            number,
            statement,
            partial(
                c_tables.published,
                paper=paper,
                table=table,
                dataset=data,
                net=net,
                fewest=10 if net == "ScoreSDE" else 0,
            ),
            _TABLE.format(file),
            _LEAST if table == "1" else _EQUAL,
        )
        for name, number, statement, paper, table, data, net, file in (
            (
                "table1",
                "Table 1",
                "RE iterations have the best FID on CIFAR-10 in three settings.",
                "C-v1",
                "1",
                "CIFAR-10",
                "",
                "edm-cifar10-32x32-uncond-vp.pkl",
            ),
            (
                "table2",
                "Table 2",
                "RE is best on ImageNet-256 at every number of calls.",
                "C-v1",
                "2",
                "ImageNet-256",
                "",
                "FILE",
            ),
            (
                "table3.scoresde",
                "Table 3, ScoreSDE",
                "RE has the best FID on CIFAR-10 with a continuous network from 10 calls on.",
                "C-v1",
                "3",
                "CIFAR-10",
                "ScoreSDE",
                "FILE",
            ),
            (
                "table3.edm",
                "Table 3, EDM",
                "RE is best on CIFAR-10 with EDM's network at every number of calls.",
                "C-v1",
                "3",
                "CIFAR-10",
                "EDM",
                "edm-cifar10-32x32-uncond-vp.pkl",
            ),
            (
                "evodiff.cifar10",
                "EVODiff, CIFAR-10",
                "EVODiff is best on CIFAR-10 with EDM's network in 5 to 12 calls.",
                "C-note",
                "",
                "CIFAR-10",
                "",
                "edm-cifar10-32x32-uncond-vp.pkl",
            ),
            (
                "evodiff.ffhq",
                "EVODiff, FFHQ-64",
                "EVODiff is best on FFHQ-64 with EDM's network in 5 to 20 calls.",
                "C-note",
                "",
                "FFHQ-64",
                "",
                "edm-ffhq-64x64-uncond-vp.pkl",
            ),
            (
                "evodiff.imagenet",
                "EVODiff, ImageNet-256",
                "EVODiff is best on ImageNet-256 with ADM in 5 to 20 calls.",
                "C-note",
                "",
                "ImageNet-256",
                "",
                "FILE",
            ),
        )
    ),
    Claim(
        "C.sec5.2",
        "Section 5.2",
        "Its tables 2 and 3 show RE improving consistently.",
        "printed FID of RE <= best other, in all 21 columns",
        "empirical",
        "none",
        c_tables.consistently,
        0.0,
        "printed to two decimals",
        routes=(c_tables.consistently_by_csv, c_tables.consistently_typed),
        most=1,
    ),
    Claim(
        "C.tables.toy",
        "ours, beside tables 2 and 3, on exact mixtures",
        "The paper's multi-step iterations are first among the compared solvers, by KL.",
        "KL(data || sampler) of re_multi or evodiff < of dpmpp_2m, unipc_2, heun; 42 settings",
        "empirical",
        "none",
        c_tables.first_on_toys,
        0.0,
        "exact laws, errors below 1e-6 nats",
        routes=(c_tables.first_on_toys_by_rows, c_tables.first_on_toys_by_pandas),
        most=1,
    ),
)
