"""JSON answers of commands, checked against the schema that the package holds."""

import json
from importlib import resources
from importlib.metadata import version
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((resources.files("entropic") / "schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
NAMES = [name.partition(".")[2] for name in SCHEMA["properties"]["schema"]["enum"]]


def faults(answer: Any) -> list[str]:
    """What the schema has against an answer."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(answer)]


def fields_of(text: str, name: str | None = None) -> dict[str, Any]:
    """The fields of a printed answer beside its schema and version, which are checked.

    Args:
        text: What the command printed, one JSON object.
        name: Name that the schema must have, without "entropic.".
    """
    answer = json.loads(text)
    assert not faults(answer)
    assert answer.pop("version") == version("entropic")
    schema = answer.pop("schema")
    assert name is None or schema == f"entropic.{name}"
    return answer
