"""Functions by name, with one contract for schedules and solvers.

A registry maps names to functions. The options of a function are its keyword arguments; an unknown
name or option is refused with a suggestion. What a function needs beside its options is declared by
keyword arguments without a default: `profile` is a profile, `c` a data scale, `mixture` the data
themselves, and `solver` the sampler that the levels are for. A name may be
written in any case and with spaces or hyphens. Names in common use are accepted where their meaning
is exact, and suggested otherwise. `module:function` is a function of the user's own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any

Option = float | str | bool | None
# Keyword arguments without a default, and their meaning.
NEEDS = {"profile": "profile", "c": "scale", "mixture": "mixture", "solver": "solver"}
SKIPPED = {"self", "profile", "mixture", "solver"}


@dataclass(frozen=True)
class Registry:
    """Functions of one kind by name.

    Args:
        kind: What the functions make, "schedule" or "solver".
        functions: The functions by name.
        same: Other names in common use, for functions of exactly their meaning.
        near: Names in common use, and the function that comes nearest to each.
        shared: Names of the arguments that every function of this kind takes.
    """

    kind: str
    functions: Mapping[str, Callable[..., Any]]
    same: Mapping[str, str] = field(default_factory=dict)
    near: Mapping[str, str] = field(default_factory=dict)
    shared: tuple[str, ...] = ()

    def name(self, text: str) -> str:
        """The name in the registry that a text means, or the text itself if it is module:function.

        Raises:
            ValueError: There is no such name; the message suggests one.
        """
        if not isinstance(text, str):
            raise ValueError(f"{self.kind} must be a name, got {type(text).__name__}")
        if text in self.functions:
            return text
        plain = normalised(text)
        named = {normalised(name): name for name in self.functions} | dict(self.same)
        if plain in named:
            return named[plain]
        if is_user_function(text):
            return text
        close = get_close_matches(plain, [*named, *self.near], n=1)
        found = self.near.get(plain) or (close and {**named, **self.near}[close[0]])
        advice = f"; did you mean {found!r}?" if found else ""
        known = ", ".join(self.functions)
        raise ValueError(f"{self.kind} must be one of {known}, got {text!r}{advice}")

    def _is_known(self, text: str) -> bool:
        plain = normalised(text)
        return plain in self.same or plain in {normalised(name) for name in self.functions}

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """The result of the function of that name.

        Raises:
            ValueError: The function raises it, or a function of the user's own raises anything.
        """
        function = self.function(name)
        if name in self.functions:
            return function(*arguments, **keywords)
        try:
            with redirect_stdout(sys.stderr):
                return function(*arguments, **keywords)
        except (Exception, SystemExit) as error:
            got = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"{self.kind} {name} must run, got {got}") from None

    def function(self, name: str) -> Callable[..., Any]:
        """The function of a name, or the user's own function of module:function."""
        known = self.name(name)
        if known in self.functions:
            return self.functions[known]
        return user_function(self.kind, known)

    def options(self, name: str) -> dict[str, Any]:
        """Options of the function of that name with their defaults; None for a declared need."""
        taken = _keywords(self.function(name), self.shared)
        return {
            key: None if p.default is p.empty else p.default
            for key, p in taken.items()
            if key not in SKIPPED
        }

    def needs(self, name: str) -> tuple[str, ...]:
        """What the function of that name needs: "profile", "scale", "mixture", "solver".

        One that declares a profile and a mixture needs either.
        """
        taken = _keywords(self.function(name), self.shared)
        return tuple(
            NEEDS[key] for key, p in taken.items() if key in NEEDS and p.default is p.empty
        )

    def checked(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are not None, after a check that the function of that name takes them.

        Raises:
            ValueError: An option is unknown, or true or false where a number or a word is wanted.
        """
        known = self.options(name)
        found: dict[str, Any] = {}
        for given, value in options.items():
            plain = normalised(given)
            key = plain if plain in known else f"{plain.rstrip('_')}_"  # lambda is Python's word
            if key in found:
                raise ValueError(f"{given} must be given once, got {found[key]} and {value}")
            if key not in known:
                shown = [option.rstrip("_") for option in known]
                takes = f"takes {', '.join(shown)}" if shown else "takes no options"
                close = get_close_matches(plain, shown, n=1)
                advice = f"; did you mean {close[0]!r}?" if close else ""
                raise ValueError(
                    f"{given.rstrip('_')} must be left out for {self.kind} {name!r}, which {takes},"
                    f" got {value}{advice}"
                )
            if value is None:
                continue
            if isinstance(known[key], bool) != isinstance(value, bool):
                rule = "true or false" if isinstance(known[key], bool) else "a number or a word"
                raise ValueError(f"{given} must be {rule}, got {value}")
            found[key] = value
        return found

    def describe(self) -> dict[str, str]:
        """Name and one-line description of every function."""
        out = {}
        for name, function in self.functions.items():
            first = (inspect.getdoc(_bare(function)) or "").partition("\n")[0].rstrip(".")
            with suppress(AttributeError):
                first = function.summary  # type: ignore[attr-defined]
            out[name] = first + needs_text(self.needs(name))
        return out

    def option_texts(self, name: str) -> dict[str, str]:
        """What each option of the function of that name is, from its docstring."""
        described = arguments_of(self.function(name))
        return {key: described.get(key, "") for key in self.options(name)}

    def parse(self, text: str) -> tuple[str, dict[str, Option]]:
        """Name and options of a text NAME or NAME:OPTION=VALUE,OPTION=VALUE.

        Raises:
            ValueError: The name or an option is unknown.
        """
        name, colon, last = text.rpartition(":")
        if not colon or ("=" not in last and not self._is_known(name)):
            return self.name(text), {}
        known, options = self.name(name), parse_options(last.split(","))
        return known, self.checked(known, options)


def named(function: Callable[..., Any], summary: str, *bound: Any, **keywords: Any) -> partial[Any]:
    """A function with some arguments fixed, and its one-line description.

    Args:
        function: The function.
        summary: Its description.
        *bound: First arguments that are fixed.
        **keywords: Keyword arguments that are fixed.
    """
    fixed = partial(function, *bound, **keywords)
    fixed.summary = summary  # type: ignore[attr-defined]
    return fixed


def needs_text(needs: Sequence[str]) -> str:
    """What a function needs, as the end of its description."""
    either = ["profile or a mixture"] if {"profile", "mixture"} <= set(needs) else []
    rest = [need for need in needs if not (either and need in ("profile", "mixture"))]
    return "".join(f"; needs a {need}" for need in [*either, *rest])


def joined(*places: Mapping[str, Any]) -> dict[str, Any]:
    """Options from several places.

    Raises:
        ValueError: An option stands in two of them.
    """
    found: dict[str, Any] = {}
    for options in places:
        for key, value in options.items():
            if key in found:
                name = key.rstrip("_")
                raise ValueError(f"{name} must be given once, got {found[key]} and {value}")
            found[key] = value
    return found


def normalised(text: str) -> str:
    """A name in lower case, with underscores for spaces and hyphens, and pp for ++."""
    return "_".join(text.lower().replace("++", "pp").replace("-", " ").replace("_", " ").split())


def is_user_function(text: str) -> bool:
    """Whether a text has the form module:function."""
    module, colon, name = text.partition(":")
    parts = [*module.split("."), name]
    return bool(colon) and all(part.isidentifier() for part in parts)


def user_function(kind: str, text: str) -> Callable[..., Any]:
    """The user's own function of a text module:function, from the current folder or `sys.path`.

    Raises:
        ValueError: There is no such function.
    """
    module, _, name = text.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        with redirect_stdout(sys.stderr):  # standard output is for the result
            found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        got = " ".join(f"{text!r}: {type(error).__name__}: {error}".split())
        raise ValueError(f"{kind} must name a function to import, got {got}") from None
    if not callable(found):
        got = type(found).__name__
        raise ValueError(f"{kind} must name a function, got {text!r}, which is of type {got}")
    return found  # type: ignore[no-any-return]


def arguments_of(function: Callable[..., Any]) -> dict[str, str]:
    """Descriptions in the section Args of a docstring, by argument."""
    lines = (inspect.getdoc(_bare(function)) or "").partition("Args:\n")[2].splitlines()
    out: dict[str, str] = {}
    last = ""
    for line in lines:
        if not line.strip() or not line.startswith("    "):
            break
        if line.startswith("        "):
            out[last] += " " + line.strip()
        else:
            last, _, text = line.strip().partition(": ")
            out[last] = text
    return out


def parse_options(texts: Sequence[str]) -> dict[str, Option]:
    """Options from texts NAME=VALUE, whose values are numbers, true, false or words."""
    out: dict[str, Option] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"option must be NAME=VALUE, got {text!r}")
        if name.strip() in out:
            raise ValueError(f"option must be given once, got {name.strip()} twice")
        out[name.strip()] = {"true": True, "false": False}.get(value.lower(), value)
        if "_" not in value:  # a number with digit groups, such as 1_000, is a word
            for number in (float, int):
                with suppress(ValueError):
                    out[name.strip()] = number(value)
    return out


def show_options(options: Mapping[str, Any]) -> str:
    """Options as text, NAME=VALUE separated by spaces."""
    return " ".join(f"{key.rstrip('_')}={value}" for key, value in options.items())


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under a partial."""
    return function.func if isinstance(function, partial) else function


def _keywords(
    function: Callable[..., Any], shared: tuple[str, ...]
) -> dict[str, inspect.Parameter]:
    """Parameters of a function that are neither shared nor fixed."""
    skipped = {*shared, *(function.keywords if isinstance(function, partial) else {})}
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {k: p for k, p in parameters.items() if k not in skipped and p.kind not in kinds}
