"""Mixtures by name, from files, and as texts that name a task of the engine."""

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
    """A toy of the zoo by name, or from the text of a mixture file."""
    return zoo.toy(spec) if spec in zoo.ZOO else parse_toy(spec)


def toy_spec(toy: str | os.PathLike[str] | Mixture) -> str:
    """A name of the zoo, or the text of a mixture or of a mixture file after checking it.

    Raises:
        ValueError: Neither a name (with a suggestion) nor a readable mixture file.
    """
    if isinstance(toy, Mixture):
        return json.dumps(toy.to_dict())
    name = os.fspath(toy)
    if name in zoo.ZOO:
        return name
    if not looks_like_path(name):
        one_of("toy", name, zoo.ZOO)
    fields = read_json(name, "mixture", MIXTURE_KEYS)
    with naming(name):
        return json.dumps(_mixture(fields).to_dict())


def parse_toy(text: str) -> Mixture:
    """The mixture of a text that `toy_spec` returned."""
    return _mixture(json.loads(text))


def _mixture(fields: dict[str, Any]) -> Mixture:
    means = fields["means"]
    if isinstance(means, list) and means and not isinstance(means[0], list):
        numbers(fields, "means")
    numbers(fields, "weights")
    return Mixture(fields["weights"], means, fields["stds"])
