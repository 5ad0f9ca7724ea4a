"""The pictures of the documentation: figures drawn by `make figures`, made smaller.

`python -m figures.parts.gallery out docs/gallery` writes them, and `made.json` beside them, which
says from which drawing code every picture was made. A test compares that with today's code.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path

from PIL import Image

WIDTH = 1024  # pixels, 1.6 for each of a page that is 640 wide
FIGURES = Path(__file__).parents[1]


def fingerprint(name: str) -> str:
    """Hash of the code that draws a figure: its module and the parts, without comments and docs."""
    paths = [FIGURES / f"{name}.py", *sorted((FIGURES / "parts").glob("*.py"))]
    digest = hashlib.sha256()
    for path in paths:
        if path != Path(__file__):
            digest.update(_code(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _code(text: str) -> str:
    """A source without its comments and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        value = first.value if isinstance(first, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            value.value = ""
    return ast.dump(tree)


def write(drawn: Path, gallery: Path) -> list[str]:
    """Make the picture of every figure in a folder; their names.

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
    made = {name: fingerprint(name) for name in names}
    (gallery / "made.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return names


if __name__ == "__main__":
    print(*write(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
