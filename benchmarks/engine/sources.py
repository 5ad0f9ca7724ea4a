"""Which sources compute a result: the modules of the suite that a module imports, all the way down.

A stored result is keyed by them, so that edited code never returns an old result, and an edit
elsewhere voids nothing.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

from theory.versions import versions

PACKAGES = ("toys", "theory", "benchmarks")
# Unless they are roots, only their functions count, and what they import does not, but for other
# registries. Their lists name every schedule, solver and toy; the ones that a setting uses are in
# its key.
REGISTRIES = (
    "theory.schedules.registry",
    "theory.solvers.registry",
    "benchmarks.optimum.registry",
    "toys.zoo",
)
_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_PLAIN = re.compile(r"^\s*import\s+([\w., ]+)", re.MULTILINE)


def path_of(package: str) -> Path:
    """The folder of a package of the suite, in a checkout or as installed."""
    return Path(str(files(package)))


@cache
def _file(module: str) -> Path | None:
    """The file of a module of the suite, or None if there is no such module."""
    package, *inner = module.split(".")
    if package not in PACKAGES:
        return None
    place = path_of(package).joinpath(*inner)
    for path in (place.with_suffix(".py") if inner else place, place / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def imported(module: str) -> frozenset[str]:
    """Modules of the suite that a module imports, wherever in its text."""
    path = _file(module)
    if path is None:
        return frozenset()
    text, found = path.read_text(encoding="utf-8"), set()
    for origin, names in _FROM.findall(text):
        if _file(origin) is None:
            continue
        found.add(origin)
        words = re.split(r"[,()\s]+", re.sub(r"#.*|\bas\s+\w+", "", names))
        found |= {f"{origin}.{word}" for word in words if word and _file(f"{origin}.{word}")}
    for names in _PLAIN.findall(text):
        found |= {name for name in re.split(r"[,\s]+", names) if _file(name)}
    return frozenset(found)


@cache
def reached(roots: frozenset[str]) -> tuple[str, ...]:
    """All modules of the suite that the roots need, themselves included, in order."""
    seen, todo = set[str](), list(roots)
    while todo:
        module = todo.pop()
        if module not in seen and _file(module) is not None:
            seen.add(module)
            needed = imported(module)
            if module in REGISTRIES and module not in roots:
                needed &= frozenset(REGISTRIES)
            todo += needed
    return tuple(sorted(seen))


@cache
def _digest(module: str, whole: bool) -> str:
    path = _file(module)
    assert path is not None  # `reached` has checked
    text = path.read_text(encoding="utf-8")
    if not whole:
        parts = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        text = "\n".join(ast.unparse(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def fingerprint(roots: frozenset[str]) -> str:
    """Hash of the sources that the roots need, and of the versions of the libraries under them."""
    parts = {module: module not in REGISTRIES or module in roots for module in reached(roots)}
    named = {module: _digest(module, whole) for module, whole in parts.items()}
    text = json.dumps([named, versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def roots_of(task: object) -> frozenset[str]:
    """The modules that compute a task: that of its class, and those that it names itself.

    A task that names none may use any schedule, solver and toy of the registries that it reaches.
    """
    own = frozenset({type(task).__module__})
    named: Iterable[str] | None = getattr(task, "computed_by", None)
    if named is None:
        named = set(reached(own)) & set(REGISTRIES)
    return own.union(named)
