"""The rules of the rooms, checked on sources given as texts, so that tests can plant faults.

A room imports only rooms that stand above it in ROOMS, and modules never import each other in a
circle. What a function imports counts as well, and so do names of modules that a file hands to
`import_module` or `network_part`.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("toys", "theory", "benchmarks", "figures", "entropic")
FLAT = ("theory",)  # caches, checks, levels, reading, versions, writing, extras
THEORY = (
    "theory",
    "theory.noise",
    "theory.profiles",
    "theory.solvers",
    "theory.schedules",
    "theory.infonoise",
    "theory.closed",
)
TOYS = ("toys", "toys.information", "toys.laws")
MEASURE = (*THEORY, *TOYS)
ENGINE = (*MEASURE, "benchmarks.measure", "benchmarks.optimum")
STUDIES = (*ENGINE, "benchmarks.engine")
CLAIMS = (*STUDIES, "benchmarks.studies")
NETWORKS = (*ENGINE, "benchmarks.engine")
ALL = (*CLAIMS, "benchmarks.claims", "benchmarks.report", "benchmarks.networks",
       "benchmarks.training", "benchmarks.imagenet")  # fmt: skip
# Room to the rooms that it may import beside itself; rooms in the order of docs/architecture.md.
ROOMS: dict[str, tuple[str, ...]] = {
    "theory": (),
    "theory.noise": FLAT,
    "theory.profiles": (*FLAT, "theory.noise"),
    "theory.solvers": (*FLAT, "theory.noise"),
    "theory.schedules": (*FLAT, "theory.noise", "theory.profiles", "theory.solvers"),
    "theory.infonoise": (*FLAT, "theory.noise", "theory.profiles"),
    "theory.closed": THEORY,  # bounds.py and gaussian.py
    "toys": (),  # see TOYS_TAKE
    "toys.information": ("toys",),
    "toys.laws": ("toys", "toys.information"),
    "benchmarks.measure": MEASURE,
    "benchmarks.optimum": (*MEASURE, "benchmarks.measure"),
    "benchmarks.engine": ENGINE,
    "benchmarks.studies": STUDIES,
    "benchmarks.claims": CLAIMS,
    "benchmarks.report": (*CLAIMS, "benchmarks.claims"),
    "benchmarks.networks": NETWORKS,
    "benchmarks.training": (*NETWORKS, "benchmarks.networks", "benchmarks.studies"),
    "benchmarks.imagenet": (*NETWORKS, "benchmarks.networks"),
    "benchmarks.acceptance": (*ALL, "entropic"),
    "figures": ("figures.parts",),
    "figures.parts": (),
    "entropic": (*ALL, "figures"),
}
# What every room of toys may take from theory.
TOYS_TAKE = ("theory.caches", "theory.checks", "theory.reading", "theory.solvers.table",
             "theory.solvers.derivative", "theory.solvers.reducing")  # fmt: skip
HOME = {
    "numba": ("toys", "theory.schedules"),
    "torch": ("benchmarks.networks", "benchmarks.training", "benchmarks.imagenet"),
    "matplotlib": ("figures",),
    "PIL": ("figures", "benchmarks.networks", "benchmarks.training", "benchmarks.imagenet"),
    **dict.fromkeys(
        ("diffusers", "transformers", "sklearn", "safetensors"),
        ("benchmarks.networks", "benchmarks.training", "benchmarks.imagenet"),
    ),
    "flint": ("benchmarks.measure",),
    "hypothesis": ("entropic",),
}
# Rooms whose functions may import modules of ours: the door, and those with optional libraries.
LATE = ("entropic", "benchmarks.networks", "benchmarks.training", "benchmarks.imagenet")
# Acceptance checks time imports and skip checks whose libraries are missing.
LATE_ACCEPTANCE = "benchmarks.acceptance"
# The list of all schedules, for which every help page of the commands asks.
LATE_LIST = "benchmarks.optimum.registry"
MADE = "<made at run time>"
BY_NAME = ("import_module", "network_part", "__import__")
# Modules whose names are made at run time, and why that is no way around the rules.
MADE_NAMES = {
    "theory.extras": "hands on the name that its caller gives",
    "theory.names": "the user's own code",
    "entropic": "takes names from its own table of places",
    "entropic.commands.main": "commands beside itself",
    "entropic.commands.figures": "takes names from its own table of studies",
    "figures.registry": "figures beside itself",
    "benchmarks.networks.spec": "the user's own code",
    "benchmarks.measure.certified": "python-flint",
}
# Modules that stand in no sub-folder; any other sub-folder has to be a room.
FLAT_MODULES = {
    "theory": (
        "caches",
        "checks",
        "extras",
        "levels",
        "names",
        "reading",
        "versions",
        "writing",
        "bounds",
        "gaussian",
        "gaussian_optimum",
    ),
    "toys": ("files", "kernels", "mixture", "progress", "reducing", "reference", "sampling", "zoo"),
}


class Import(NamedTuple):
    """One imported module, and whether a function imports it."""

    module: str
    late: bool


def sources(root: Path) -> dict[str, str]:
    """Texts of all modules of the packages below a folder, by dotted name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }


def room_of(module: str) -> str:
    """The room that a module stands in."""
    if module in ("theory.bounds", "theory.gaussian", "theory.gaussian_optimum"):
        return "theory.closed"
    parts = module.split(".")
    return max(
        (".".join(parts[:n]) for n in (1, 2) if ".".join(parts[:n]) in ROOMS),
        key=len,
        default=parts[0],
    )


@cache
def imports(text: str, known: frozenset[str]) -> tuple[Import, ...]:
    """What a source imports: modules of ours by their whole names, others as written."""
    return tuple(_imports(text, known))


def _imports(text: str, known: frozenset[str]) -> Iterator[Import]:
    tree = ast.parse(text)
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.walk(node)
    }
    loaders = {"import_module", "network_part", "__import__"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in BY_NAME and alias.asname
    }
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _callee(n) in loaders]
    for node in ast.walk(tree):
        late = id(node) in inside
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{stem}.{alias.name}"
                yield Import(whole if whole in known else stem, late)
        elif calls and isinstance(node, ast.Constant) and _is_module(node.value, known):
            yield Import(str(node.value), late)  # in a table of places, say
    for call in calls:
        name = call.args[0] if call.args else None
        if isinstance(name, ast.Constant) and "." not in str(name.value):
            yield Import(str(name.value), id(call) in inside)
        elif not isinstance(name, ast.Constant):
            yield Import(MADE, id(call) in inside)


def _is_module(value: object, known: frozenset[str]) -> bool:
    """Whether a constant is the dotted name of a module of ours."""
    return isinstance(value, str) and "." in value and value in known


def _callee(call: ast.Call) -> str:
    """The last part of what is called."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def faults(texts: Mapping[str, str]) -> list[str]:
    """Everything in which sources break the rules, one line each."""
    out = []
    graph: dict[str, set[str]] = {}
    known = frozenset(texts)
    for module, text in texts.items():
        room = room_of(module)
        if module.startswith("benchmarks.") and room == "benchmarks":
            out.append(f"{module}: no module stands in benchmarks/ itself")
        package, _, rest = module.partition(".")
        flat = rest and room in (package, "theory.closed")
        if flat and rest not in FLAT_MODULES.get(package, (rest,)):
            out.append(f"{module}: must stand in a room, or be one of the flat modules")
        for name, late in imports(text, known):
            top = name.split(".")[0]
            if name == MADE:
                if module not in MADE_NAMES:
                    out.append(f"{module} imports a name made at run time: write it out")
                continue
            if top == "tests":
                out.append(f"{module} imports {name}: tests serve nothing but themselves")
            if name.startswith("."):
                out.append(f"{module} imports {name}: write the whole name")
            if top in HOME and room not in HOME[top] and top_room(room) not in HOME[top]:
                out.append(f"{module} imports {top}, whose home is {', '.join(HOME[top])}")
            if top not in PACKAGES:
                continue
            graph.setdefault(module, set()).add(name)
            if not allowed(module, name):
                out.append(f"{module} imports {name}: {room} stands above {room_of(name)}")
            if late and room not in (*LATE, LATE_ACCEPTANCE) and module != LATE_LIST:
                out.append(f"{module} imports {name} in a function: import it at the top")
    out += [f"circle: {' -> '.join(circle)}" for circle in circles(graph)]
    return out


def top_room(room: str) -> str:
    """The package of a room."""
    return room.split(".")[0]


def allowed(module: str, name: str) -> bool:
    """Whether a module may import another of ours."""
    room, other = room_of(module), room_of(name)
    if top_room(room) == "toys" and top_room(other) == "theory":
        return name in TOYS_TAKE
    return other == room or other in ROOMS.get(room, ())


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Circles of imports, each as its modules in order, the first again at the end."""
    found, done = [], set()

    def walk(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append([*trail[trail.index(module) :], module])
            return
        if module in done:
            return
        for other in sorted(graph.get(module, ())):
            if other != module:
                walk(other, [*trail, module])
        done.add(module)

    for module in sorted(graph):
        walk(module, [])
    return found
