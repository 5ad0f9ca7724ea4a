"""Options that several commands share; names and help of schedules and solvers are the registry's.

Names are completed by `Name`, `Listed` and `Words`. Their lists are loaded only when a name is
checked, completed or explained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from theory.names import Registry

F = TypeVar("F", bound=Callable[..., Any])

PROCESSES, TERMINALS, STARTS = ("edm", "vp"), ("stop", "zero"), ("noise", "data")
RULES, AMPLITUDES = ("spline", "trapezoid", "left"), ("mean", "rms")
PREDICTIONS = ("eps", "x0", "v", "flow", "edm", "epsilon", "sample", "v_prediction",
               "flow_prediction")  # fmt: skip
TIMES = ("sigma", "snr", "log-snr", "half-log-snr", "alpha-bar", "vp", "ddpm", "flow",
         "flow-reversed", "edm")  # fmt: skip
REDUCTIONS = ("sum", "mean")
EXPORTS = ("diffusers-euler", "diffusers-dpm", "diffusers-heun", "diffusers-flow", "diffusers-edm",
           "k-diffusion", "comfyui", "edm", "edm2", "diff-sampler", "noise-schedule-vp", "python",
           "lines", "json")  # fmt: skip
# Programs that take no list, and are refused with the reason.
NO_LISTS = ("diffusers-ddim", "diffusers-deis", "diffusers-edm-dpm", "diffusers-euler-ancestral",
            "diffusers-kdpm2", "diffusers-lms", "diffusers-pndm", "diffusers-unipc")  # fmt: skip
DEVICES, PRECISIONS = ("cpu", "cuda"), ("float32", "bfloat16", "float16")

as_json = click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
store_option = click.option(
    "--store",
    help="Folder of finished results, which are not computed again. Default: $ENTROPIC_STORE, or "
    "entropic in the user's folder of caches.",
)
OUT = "With -, standard output, and nothing else is printed there."


def schedule_registry() -> Registry:
    """The registry of schedules."""
    from benchmarks.optimum.registry import REGISTRY

    return REGISTRY


def solver_registry() -> Registry:
    """The registry of solvers."""
    from theory.solvers.registry import REGISTRY

    return REGISTRY


def toy_names() -> list[str]:
    """Names of the toys."""
    from toys.zoo import ZOO

    return list(ZOO)


def print_json(schema: str, fields: Mapping[str, Any]) -> None:
    """Print an answer as one JSON object with the name of its schema and the version."""
    from benchmarks.engine.rows import enveloped

    click.echo(json.dumps(enveloped(schema, **fields), allow_nan=False))


def completions(names: Iterable[str], incomplete: str, files: bool) -> list[CompletionItem]:
    """Names that begin like the incomplete word, and files where they are accepted.

    The files come first, since click's script for bash forgets what comes before them.
    """
    items = [CompletionItem(incomplete, type="file")] if files else []
    return [*items, *(CompletionItem(name) for name in names if name.startswith(incomplete))]


class Name(click.ParamType):  # type: ignore[type-arg]
    """A name of a registry, with options if the command takes them, or a file.

    Args:
        kind: "schedule" or "solver".
        extra: Further words that are accepted, such as "all".
        files: Whether a file is accepted too.
        options: Whether NAME:OPTION=VALUE is accepted.
    """

    def __init__(
        self, kind: str, extra: tuple[str, ...] = (), files: bool = False, options: bool = True
    ) -> None:
        self.name, self.extra, self.files, self.options = kind, extra, files, options

    @property
    def registry(self) -> Registry:
        """The registry of this kind."""
        return schedule_registry() if self.name == "schedule" else solver_registry()

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        """The text as it is, after a check of the name and its options."""
        if value in self.extra:
            return value
        if self.files:
            from benchmarks.engine.compare import is_file

            if is_file(value):
                return value
        if self.options:
            self.registry.parse(value)
        else:
            self.registry.name(value)
        return value

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        """Names that begin like the incomplete word, and files, where they are accepted."""
        return completions([*self.registry.functions, *self.extra], incomplete, self.files)

    def get_metavar(self, param: Any, ctx: Any = None) -> str:
        """What stands for the value in the help."""
        return "NAME|FILE" if self.files else "NAME"


class Listed(click.ParamType):  # type: ignore[type-arg]
    """A name of a list that completion offers; the command itself checks it.

    Args:
        kind: What is named.
        names: Returns the list.
        files: Whether a file is accepted too.
        metavar: What stands for the value in the help.
    """

    def __init__(
        self,
        kind: str,
        names: Callable[[], Iterable[str]],
        files: bool = False,
        metavar: str = "NAME",
    ) -> None:
        self.name, self.names, self.files = kind, names, files
        self.metavar = f"{metavar}|FILE" if files else metavar

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        """The text as it is."""
        return value

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        """Names that begin like the incomplete word, and files, where they are accepted."""
        return completions(self.names(), incomplete, self.files)

    def get_metavar(self, param: Any, ctx: Any = None) -> str:
        """What stands for the value in the help."""
        return self.metavar


TOY = Listed("toy", toy_names, files=True)


class Counts(click.ParamType):  # type: ignore[type-arg]
    """Whole numbers separated by commas, such as 4,8,16."""

    name = "counts"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(word) for word in str(value).split(","))
        except ValueError:
            self.fail(f"must be whole numbers separated by commas, got {value!r}", param, ctx)

    def get_metavar(self, param: Any, ctx: Any = None) -> str:
        """What stands for the value in the help."""
        return "N,N,..."


class Words(click.Choice[str]):
    """One of a few words, in any case; a mistake is refused with a suggestion."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The word."""
        from theory.checks import one_of

        name = "value" if param is None else str(param.opts[-1]).lstrip("-").replace("-", "_")
        return one_of(name, str(value).lower(), map(str, self.choices))


def choice(*flags: str, of: Iterable[str], help: str, **extra: Any) -> Callable[[F], F]:
    """An option whose value is one of a few words."""
    return click.option(*flags, type=Words(list(of)), help=help, **extra)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator for several options, which the help lists in this order."""

    def decorated(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


Names = Callable[[], Iterable[tuple[str, str]]]


class _WithExample(click.Command):
    """A command whose help ends with an example.

    Args:
        example: The example, one command per line.
    """

    def __init__(self, *args: Any, example: str = "", **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write_text(line)


class Explained(_WithExample):
    """A command whose help ends with the names it takes, their options, and an example.

    Args:
        schedules: Whether the help lists the schedules with their options.
        solvers: Whether the help lists the solvers with their options.
        names: Further lists, each a title and a function that returns names and descriptions.
    """

    def __init__(
        self,
        *args: Any,
        schedules: bool = False,
        solvers: bool = False,
        names: tuple[tuple[str, Names], ...] = (),
        **extra: Any,
    ) -> None:
        super().__init__(*args, **extra)
        self.schedules, self.solvers, self.names = schedules, solvers, names

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names with their options, and the example."""
        if self.schedules:
            _write_names(formatter, "Schedules", schedule_registry())
        if self.solvers:
            _write_names(formatter, "Solvers", solver_registry())
        for title, names in self.names:
            with formatter.section(title):
                formatter.write_dl(list(names()), col_max=24)
        super().format_epilog(ctx, formatter)


class ExplainedGroup(_WithExample, click.Group):
    """A group of commands whose help ends with an example."""


def _write_names(formatter: click.HelpFormatter, title: str, registry: Registry) -> None:
    """Write the functions of a registry, each with its options and their defaults."""
    rows = []
    for name, text in registry.describe().items():
        options = registry.options(name)
        shown = [f"{k.rstrip('_')}" + ("" if v is None else f"={v}") for k, v in options.items()]
        rows.append((name, text + (f" [{', '.join(shown)}]" if shown else "")))
    with formatter.section(f"{title} (with their options and defaults)"):
        formatter.write_dl(rows, col_max=18)


solver_option = click.option(
    "--option",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the solver. Repeat for several. SOLVER:NAME=VALUE does the same.",
)
ends = together(
    choice(
        "--process",
        of=PROCESSES,
        default="edm",
        show_default=True,
        help="Noise process. It sets the default noise levels and the initial law.",
    ),
    click.option(
        "--sigma-min",
        type=float,
        help="Lowest positive noise level, in data units. "
        "Default: that of a given profile or loss log, otherwise of the process.",
    ),
    click.option(
        "--sigma-max",
        type=float,
        help="Highest noise level, in data units. "
        "Default: that of a given profile or loss log, otherwise of the process.",
    ),
)
terminal_option = choice(
    "--terminal",
    of=TERMINALS,
    help="stop to end at sigma-min, zero to make the last step to 0. Default: stop.",
)
start_option = choice(
    "--start",
    of=STARTS,
    default="noise",
    show_default=True,
    help="Initial law: noise for that of the process, data for the true law at sigma-max.",
)

# Options of schedules whose values are words; the others are numbers.
WORDED = {"rule": Words(RULES), "amplitude": Words(AMPLITUDES)}


def option_help(key: str) -> str:
    """What an option of the schedules is, per schedule, from the registry."""
    import re

    registry, texts = schedule_registry(), dict[str, list[str]]()
    for name in registry.functions:
        options = registry.options(name)
        if key in options:
            text = re.sub(SEE, "", registry.option_texts(name)[key]).rstrip(".").replace("`", "")
            default = options[key]
            if isinstance(default, float) and "efault" not in text:
                text += f" (default {default:g})"
            texts.setdefault(text, []).append(name)
    return " ".join(f"{', '.join(names)}: {text}." for text, names in texts.items())


# References to the suite's modules, which docstrings have and the help has not.
SEE = r";? see `[\w.]+`| \(see `[\w.]+`\)"


class _Lazy(click.Option):
    """An option whose help is completed when it is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag and the help."""
        said = self.help
        self.help = self.full_help()
        try:
            return super().get_help_record(ctx)
        finally:
            self.help = said

    def full_help(self) -> str:
        """The help as it is shown."""
        return option_help(str(self.name))


class _Toys(_Lazy):
    """An option that takes a toy; its help lists them."""

    def full_help(self) -> str:
        """The help, and the names of the toys."""
        return f"{self.help} Toys: {', '.join(toy_names())}."


def toy_option(help: str = "Name of a toy, or mixture file.", **extra: Any) -> Callable[[F], F]:
    """The option --toy, whose help lists the toys."""
    return click.option("--toy", type=TOY, cls=_Toys, help=help, **extra)


class ScheduleCommand(Explained):
    """A command that takes every option of the schedules as an option of its own."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters of the command, then the options of the schedules."""
        own = super().get_params(ctx)
        used = {flag for parameter in own for flag in parameter.opts}
        more = [option for option in _schedule_flags() if not used.intersection(option.opts)]
        return [*own[:-2], *more, *own[-2:]]  # --json and --help come last


@cache
def _schedule_flags() -> tuple[click.Option, ...]:
    """One option for every keyword argument of a schedule."""
    registry = schedule_registry()
    defaults = {k: v for name in registry.functions for k, v in registry.options(name).items()}
    found = []
    for key, default in defaults.items():
        flag = "--" + key.rstrip("_").replace("_", "-")
        worded = str if isinstance(default, str) else bool if isinstance(default, bool) else float
        found.append(_Lazy([flag, key], type=WORDED.get(key, worded)))
    return tuple(found)


def given_options(values: dict[str, Any]) -> dict[str, Any]:
    """The options of schedules that were given, taken out of the values of a command."""
    keys = [str(option.name) for option in _schedule_flags()]
    found = {key: values.pop(key) for key in keys if key in values}
    return {key: value for key, value in found.items() if value is not None}


losses_options = together(
    click.option(
        "--losses",
        help="Loss log: CSV of any dialect, JSON lines or Parquet, with columns for the loss and "
        "for the level or time, and optionally samples. With -, standard input.",
    ),
    choice(
        "--prediction",
        of=PREDICTIONS,
        metavar="NAME",
        help="losses: what the network predicts: eps, x0, v, flow or edm, or diffusers' name.",
    ),
    choice(
        "--times",
        of=TIMES,
        metavar="NAME",
        help=f"losses: meaning of the column of levels or times: {', '.join(TIMES)}. Needed for t, "
        "timestep, step_index and lambda. flow: 1 is noise; edm: log(sigma) / 4.",
    ),
    click.option(
        "--betas",
        metavar="NAME|FILE",
        help="losses: betas of ddpm: linear (the default), scaled-linear, cosine, two numbers, or "
        "diffusers' scheduler_config.json; or of vp: two numbers. Default: 0.1,20.",
    ),
    click.option(
        "--zero-snr",
        is_flag=True,
        default=None,
        help="losses: the betas of ddpm were rescaled so that the last level is pure noise.",
    ),
    click.option(
        "--weight",
        metavar="NAME",
        help="losses: weight that the losses were multiplied by: none, min-snr:GAMMA, edm, p2.",
    ),
    click.option(
        "--column",
        multiple=True,
        metavar="ROLE=NAME",
        help="losses: name of a column: loss, sigma (the levels or times), weight, samples or "
        "step. Repeat for several.",
    ),
    click.option(
        "--after", type=int, help="losses: leave out rows up to this training step, column step."
    ),
    click.option("--last", type=int, help="losses: number of rows, from the last step backwards."),
    click.option("--dim", type=int, help="losses: number of coordinates of x0. Default: 1."),
    click.option(
        "--sigma-data",
        type=float,
        help="losses: EDM's sigma_data, in data units. Default: 0.5.",
    ),
    choice(
        "--reduction",
        of=REDUCTIONS,
        help="losses: sum or mean over coordinates. Default: sum.",
    ),
)
LOGGED = ("prediction", "times", "betas", "zero_snr", "weight", "column", "after", "last",
          "dim", "sigma_data", "reduction")  # fmt: skip


def logged_options(values: dict[str, Any]) -> dict[str, Any]:
    """The options of `losses_options` but the file, taken out of the values of a command."""
    from theory.profiles.columns import column_words

    found = {name: values.pop(name) for name in LOGGED}
    found["columns"] = column_words(found.pop("column")) or None
    return found


# Options that need --network.
NETWORK_OPTIONS = (
    "data",
    "samples",
    "levels",
    "sigma_min",
    "sigma_max",
    "batch",
    "seed",
    "device",
    "precision",
    "time",
    "guidance",
    "condition",
)
network_options = together(
    click.option(
        "--network",
        help="Trained network: checkpoint, published file, diffusers folder, or module:function of "
        "your own code.",
    ),
    click.option("--data", help="network: clean samples, an .npy, .npz or .zip file or a folder."),
    click.option(
        "--samples",
        type=int,
        help="network: number of clean samples. Default: 1024, or all if fewer.",
    ),
    click.option(
        "--levels", type=int, help="network: number of levels of EDM's grid. Default: 128."
    ),
    click.option(
        "--sigma-min",
        type=float,
        help="network: lowest level, in data units. Default: that of the network.",
    ),
    click.option(
        "--sigma-max",
        type=float,
        help="network: highest level, in data units. Default: that of the network.",
    ),
    click.option("--batch", type=int, help="network: number of samples per batch. Default: 64."),
    click.option(
        "--seed", type=int, help="network: seed of samples and noise, in [0, 2^32). Default: 0."
    ),
    choice("--device", of=DEVICES, help="network: device. Default: cpu."),
    choice(
        "--precision",
        of=PRECISIONS,
        help="network: precision inside the network. Default: float32.",
    ),
    choice(
        "--time",
        of=("nearest", "interpolated"),
        help="network: times of networks with integer times. Default: nearest.",
    ),
    click.option(
        "--guidance",
        type=float,
        help="network: weight of classifier-free guidance. Default: no guidance.",
    ),
    click.option(
        "--condition",
        help="network: .npz file of named arrays, with one row in all or one row per sample.",
    ),
)
