"""`entropic completion`: the script with which a shell completes commands, options and names."""

import sys
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

from entropic.commands.options import Explained, Words

SHELLS = ("bash", "zsh", "fish")
INSTALL = {
    "bash": "entropic completion bash > ~/.entropic-completion.bash, and in ~/.bashrc:\n"
    "#     source ~/.entropic-completion.bash",
    "zsh": "entropic completion zsh > ~/.entropic-completion.zsh, and in ~/.zshrc, after "
    "compinit:\n#     source ~/.entropic-completion.zsh",
    "fish": "entropic completion fish > ~/.config/fish/completions/entropic.fish",
}
ALIAS = {
    "bash": 'entropic() { %s "$@"; }',
    "zsh": 'entropic() { %s "$@"; }',
    "fish": "function entropic; %s $argv; end",
}


@click.command(
    "completion",
    cls=Explained,
    example="entropic completion bash > ~/.entropic-completion.bash",
)
@click.argument("shell", type=Words(SHELLS))
def command(shell: str) -> None:
    """Print the script that completes commands, options and names in a shell.

    Its first lines say how to install it. Printed by `python -m entropic completion SHELL`, it also
    defines the command entropic, since a shell cannot complete the words after python.
    """
    script = Path(sys.argv[0]).name != "__main__.py"
    click.echo(completion_script(shell, None if script else sys.executable))


def completion_script(shell: str, python: str | None = None) -> str:
    """Click's script for a shell, below comments that say how to install it.

    Args:
        shell: "bash", "zsh" or "fish".
        python: The Python that runs `-m entropic`, for users without the command entropic.
    """
    made = get_completion_class(shell)
    assert made is not None
    # ShellComplete's own source, since that of bash starts bash to see its version.
    source = ShellComplete.source(made(click.Command(""), {}, "entropic", "_ENTROPIC_COMPLETE"))
    lines = source.strip().splitlines()
    head = lines.pop(0) + "\n" if lines[0].startswith("#compdef") else ""
    comments = f"# Completion of entropic in {shell}. To install it:\n#     {INSTALL[shell]}\n"
    if python is not None:
        run = f'"{python}" -m entropic'
        comments += "# The command entropic, which this Python runs:\n"
        comments += ALIAS[shell] % run + "\n"
        lines = [
            line.replace("_complete $1)", f"_complete {run})")
            .replace("_complete entropic)", f"_complete {run})")
            .replace("(commandline -t) entropic)", f"(commandline -t) {run})")
            for line in lines
            if "$+commands[entropic]" not in line
        ]
    return head + comments + "\n" + "\n".join(lines)
