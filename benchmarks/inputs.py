"""What `--toy`, `--schedule` and their files mean, the same in every command."""

import json
from pathlib import Path
from typing import Any

from theory.checks import one_of
from theory.reading import naming, numbers, read_json
from toys import zoo
from toys.mixture import Mixture

MIXTURE_KEYS = ("weights", "means", "stds")


def toy_spec(name_or_path: str) -> str:
    """A name of the zoo, or the text of a mixture file after checking it.

    Raises:
        ValueError: Neither a name (with a suggestion) nor a readable mixture file.
    """
    if name_or_path in zoo.ZOO:
        return name_or_path
    if not looks_like_path(name_or_path):
        one_of("toy", name_or_path, zoo.ZOO)
    fields = read_json(name_or_path, "mixture", MIXTURE_KEYS)
    with naming(name_or_path):
        return json.dumps(_mixture(fields).to_dict())


def parse_toy(text: str) -> Mixture:
    """The mixture of a text that `toy_spec` returned."""
    return _mixture(json.loads(text))


def looks_like_path(text: str) -> bool:
    """Whether an argument means a file: it exists, or has a separator or an ending."""
    return Path(text).exists() or "/" in text or "\\" in text or Path(text).suffix != ""


def _mixture(fields: dict[str, Any]) -> Mixture:
    means = fields["means"]
    if isinstance(means, list) and means and not isinstance(means[0], list):
        numbers(fields, "means")
    numbers(fields, "weights")
    return Mixture(fields["weights"], means, fields["stds"])
