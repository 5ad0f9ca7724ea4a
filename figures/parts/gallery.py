"""The pictures of the documentation: figures drawn by `make figures`, made smaller.

`python -m figures.parts.gallery out docs/gallery` writes them, and `made.json` beside them, which
says from which drawing code and from which table every picture was made. A test compares both.
"""

import ast
import csv
import hashlib
import io
import json
import math
import sys
import tokenize
from pathlib import Path

from PIL import Image

WIDTH = 1024  # pixels, 1.6 for each of a page that is 640 wide
FIGURES = Path(__file__).parents[1]


def fingerprint(name: str) -> str:
    """Hash of the code that draws a figure: its module and the parts, without comments and docs."""
    paths = [FIGURES / f"{name}.py", FIGURES / "registry.py"]
    paths += sorted((FIGURES / "parts").glob("*.py"))
    digest = hashlib.sha256()
    for path in paths:
        if path != Path(__file__):
            digest.update(_code(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _code(text: str) -> str:
    """A source without comments, docstrings, blank lines and indentation, on any Python."""
    lines = text.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    for token in [t for t in tokens if t.type == tokenize.COMMENT]:
        row, column = token.start
        lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        value = first.value if isinstance(first, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            for row in range(value.lineno - 1, value.end_lineno or value.lineno):
                lines[row] = ""
    return "\n".join(line.strip() for line in lines if line.strip())


def table_fingerprint(path: Path) -> str:
    """Hash of a table, with numbers to a millionth of the largest of their column.

    The last digits of a number differ between processors.
    """
    with path.open(encoding="utf-8", newline="") as file:
        columns = list(zip(*csv.reader(file), strict=True))
    digest = hashlib.sha256()
    for name, *cells in columns:
        numbers = [number for cell in cells if (number := _number(cell)) is not None]
        largest = max(map(abs, numbers), default=0.0) or 1.0
        digest.update(f"{name} {largest:.5e}\n".encode())
        for cell in cells:
            number = _number(cell)
            text = cell if number is None else f"{round(number / largest, 6) + 0.0:.6f}"
            digest.update(text.encode())
    return digest.hexdigest()[:16]


def _number(cell: str) -> float | None:
    """The finite number that a cell holds, or None."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def write(drawn: Path, gallery: Path) -> list[str]:
    """Make the picture of every figure in a folder; their names. Others stay as they are.

    Pictures keep all their colours: a palette would merge lines that a figure tells apart.
    """
    gallery.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in drawn.glob("*.png"))
    for name in names:
        with Image.open(drawn / f"{name}.png") as picture:
            small = picture.convert("RGB")
            height = round(small.height * WIDTH / small.width)
            small.resize((WIDTH, height), Image.Resampling.LANCZOS).save(
                gallery / f"{name}.png", optimize=True
            )
    record = gallery / "made.json"
    made = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    made = {name: of for name, of in made.items() if (gallery / f"{name}.png").exists()}
    for name in names:
        table = table_fingerprint(drawn / f"{name}.csv")
        made[name] = {"code": fingerprint(name), "table": table}
    text = json.dumps(dict(sorted(made.items())), indent=1) + "\n"
    record.write_text(text, encoding="utf-8")
    return names


if __name__ == "__main__":
    print(*write(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
