"""The command line: `entropic COMMAND --help`.

Each command has its own module in this package. It parses its options, makes one call into the
suite and prints the result. Large libraries are imported only when a command runs, so that `--help`
is fast.
"""

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

import entropic
from entropic.commands.ending import escaping, one_line

GROUPS = {
    "Schedules": ("profile", "schedule", "lint"),
    "Samplers": ("kl", "compare", "order", "toys"),
    "Papers": ("figures", "claims", "train", "imagenet"),
    "Machine": ("speed", "doctor", "completion"),
}
PLAIN = {"standalone_mode": False}  # errors are raised
EXAMPLE = "entropic kl --toy gaussians15_overlap --schedule rescaled --steps 8"


class Commands(click.Group):
    """Commands by name, imported when they are used; an error is one line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of the help."""
        return [name for names in GROUPS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, from the module of that name; None for an unknown name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        found = import_module(f"entropic.commands.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by group, and an example."""
        for title, names in GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, c.get_short_help_str(120)) for name, c in commands if c is not None]
                )
        with formatter.section("Example"):
            formatter.write_text(EXAMPLE)

    def make_context(self, *given: Any, **options: Any) -> click.Context:
        """The context of a command line; errors of the system escape click's own handling."""
        with escaping():
            return super().make_context(*given, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of the system escape click's own handling."""
        with escaping():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command, without a traceback for invalid input or an interruption."""
        gc.set_threshold(100_000)  # imports leave many objects, whose collections take a tenth
        words = sys.argv[1:] if args is None else list(args)
        if "numpy" not in sys.modules and not set(words[:1]) & set(GROUPS["Papers"]):
            # OpenBLAS's threads spin while they wait: a fifth of a short command's processor time.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        with one_line("--json" in words):
            code = super().main(words, **{"prog_name": "entropic", **extra, **PLAIN})
        sys.exit(code if isinstance(code, int) else 0)


def _print_version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"entropic {entropic.__version__}")
        ctx.exit()


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and exit.",
)
def main() -> None:
    """Compute information-theoretic time schedules of diffusion models exactly."""


if __name__ == "__main__":
    main()
