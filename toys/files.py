"""Mixtures by name, from files, and as the texts that identify them in stored results."""

import json
import os
from functools import cache
from typing import Any

from theory.checks import one_of
from theory.reading import looks_like_path, naming, numbers, read_json
from toys import zoo
from toys.mixture import Mixture

MIXTURE_KEYS = ("weights", "means", "stds")


@cache
def load_toy(spec: str) -> Mixture:
    """The mixture of a name or a text that `toy_spec` returned."""
    return zoo.toy(spec) if spec in zoo.ZOO else parse_toy(spec)


def toy_text(spec: str) -> str:
    """The contents of a mixture as JSON, from its name or from a text that `toy_spec` returned."""
    return json.dumps(load_toy(spec).to_dict())


def toy_spec(toy: str | os.PathLike[str] | Mixture) -> str:
    """The text that identifies a mixture: its name, or its contents as JSON.

    Args:
        toy: Name of a toy, path of a mixture file, or a mixture.

    Raises:
        ValueError: It is neither a known name nor a valid mixture file.
    """
    if isinstance(toy, Mixture):
        return json.dumps(toy.to_dict())
    if not isinstance(toy, str | os.PathLike):
        raise ValueError(f"toy must be a Mixture, a name or a file, got {type(toy).__name__}")
    name = os.fspath(toy)
    if name in zoo.ZOO:
        return name
    if not looks_like_path(name):
        one_of("toy", name, zoo.ZOO)
    fields = read_json(name, "mixture", MIXTURE_KEYS)
    with naming(name):
        return json.dumps(_mixture(fields).to_dict())


def as_mixture(toy: str | os.PathLike[str] | Mixture) -> Mixture:
    """A mixture as it is, or that of a name of the zoo or of a mixture file.

    Raises:
        ValueError: Neither a mixture, nor a name, nor a readable mixture file.
    """
    return toy if isinstance(toy, Mixture) else load_toy(toy_spec(toy))


def parse_toy(text: str) -> Mixture:
    """The mixture of a JSON text that `toy_spec` returned."""
    return _mixture(json.loads(text))


def _mixture(fields: dict[str, Any]) -> Mixture:
    means = fields["means"]
    if isinstance(means, list) and means and not isinstance(means[0], list):
        numbers(fields, "means")
    numbers(fields, "weights")
    return Mixture(fields["weights"], means, fields["stds"])
