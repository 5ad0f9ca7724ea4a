"""The command line: `entropic COMMAND --help`.

Each command has its own module in this package. It parses its options, makes one call into the
suite and prints the result. Large libraries are imported only when a command runs, so that `--help`
is fast.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

import entropic

GROUPS = {
    "Schedules": ("profile", "schedule"),
    "Samplers": ("kl", "order", "toys"),
    "Papers": ("figures", "claims", "train", "imagenet"),
    "Machine": ("speed", "doctor"),
}
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

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command, without a traceback for invalid input or an interruption."""
        try:
            code = super().main(args, **{**extra, "standalone_mode": False})
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        except click.ClickException as error:
            fail(error.format_message())
        except ValueError as error:
            fail(str(error))
        except (click.Abort, KeyboardInterrupt):
            click.echo("entropic: interrupted; finished tasks are kept in the store", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(1)
        except OSError as error:  # a full disk
            fail(f"the output must be writable, got {error.strerror}")
        sys.exit(code if isinstance(code, int) else 0)


def fail(message: str) -> NoReturn:
    """Print the message on one line of stderr and exit with code 2."""
    click.echo("entropic: " + " ".join(message.split()), err=True)
    sys.exit(2)


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
