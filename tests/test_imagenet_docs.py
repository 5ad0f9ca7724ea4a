"""docs/imagenet.md: its commands parse, its files and rows are those of the presets."""

import re
import shlex
from pathlib import Path

import click
import pytest

from benchmarks.imagenet.presets import FILES, presets
from entropic.commands.main import main

TEXT = (Path(__file__).parents[1] / "docs" / "imagenet.md").read_text(encoding="utf-8")
LINES = re.sub(r" \\\n\s+", " ", TEXT).splitlines()
COMMANDS = [
    line.split("#")[0].strip()
    for line in LINES
    if re.match(r"    (torchrun .*)?(-m )?entropic ", line) and "..." not in line
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line: str) -> None:
    """All its options are known; nothing runs."""
    words = shlex.split(line)
    command: click.Command = main
    words = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    context = command.make_context(command.name, words)
    assert context.params


def test_files_are_those_of_the_presets() -> None:
    for _, network, reference in FILES.values():
        start, suffix = network.rsplit("-", 1)
        assert f"`{network}`" in TEXT or (f"`-{suffix}`" in TEXT and start in TEXT)
        assert f"`{reference}`" in TEXT


def test_rows_named_in_full_are_presets() -> None:
    named = set(re.findall(r"\b[ABC]-[\w-]+-\d+\b", TEXT))
    assert named
    assert named <= presets().keys()


def test_the_number_of_rows_is_said() -> None:
    assert f"{len(presets())} printed rows" in TEXT
