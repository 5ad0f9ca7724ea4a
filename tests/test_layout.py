"""The import directions between the folders, read from the sources without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "toys": (),
    "theory": (),
    "benchmarks": ("toys", "theory"),
    "figures": (),
}
HOME: dict[str, tuple[str, ...]] = {
    "numba": ("toys/", "theory/las_kernels.py"),
    "torch": ("benchmarks/networks/", "benchmarks/training/", "benchmarks/imagenet/"),
    "matplotlib": ("figures/",),
}
SOURCES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a source file imports, one per imported thing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_folder_imports_only_what_stands_before_it(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    folder = place.split("/")[0]
    allowed = (folder, *MAY_IMPORT[folder])
    for name in imports(path):
        top = name.split(".")[0]
        assert top, f"{place} imports {name}: write the whole name"
        if top in MAY_IMPORT:
            assert top in allowed, f"{place} imports {name}; {folder} may import only {allowed}"
        assert place.startswith(HOME.get(top, ("",))), (
            f"{place} imports {top}, whose home is {HOME[top]}"
        )


def test_every_folder_is_seen() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(MAY_IMPORT)


def test_the_command_line_imports_nothing_heavy_at_its_top() -> None:
    tree = ast.parse((ROOT / "entropic.py").read_text(encoding="utf-8"))
    tops = {n.names[0].name for n in tree.body if isinstance(n, ast.Import)}
    tops |= {str(n.module) for n in tree.body if isinstance(n, ast.ImportFrom)}
    assert tops <= {"json", "sys", "collections.abc", "pathlib", "typing", "click"}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_init_files_hold_a_docstring_and_nothing_else(folder: str) -> None:
    body = ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
