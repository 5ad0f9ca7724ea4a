"""The figures by name, and how they are written to disk.

Figures have matplotlib's own defaults and our style. The user's matplotlibrc and backend play no
part.
"""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

FIGURES = {
    "entropic_time": "figures.entropic_time",
    "kl_vs_steps": "figures.kl_vs_steps",
    "information_window": "figures.information_window",
    "low_noise_boundary": "figures.low_noise_boundary",
    "solver_convergence": "figures.solver_convergence",
    "re_vs_baselines": "figures.re_vs_baselines",
    "entropy_reduction": "figures.entropy_reduction",
    "las_mixtures": "figures.las_mixtures",
    "pathwise_vs_terminal": "figures.pathwise_vs_terminal",
    "schedules_compared": "figures.schedules_compared",
    "phase_diagram": "figures.phase_diagram",
    "bound_tightness": "figures.bound_tightness",
    "claims_ledger": "figures.claims_ledger",
    "infonoise_transfer": "figures.infonoise_transfer",
    "infonoise_emergence": "figures.infonoise_emergence",
    "learned_profile": "figures.learned_profile",
    "spectral_profile": "figures.spectral_profile",
    "digits_schedules": "figures.digits_schedules",
    "schedule_regret": "figures.schedule_regret",
    "optimal_levels": "figures.optimal_levels",
    "called_levels": "figures.called_levels",
}
DPI = 200
# Without dates, the same figure gives the same bytes.
METADATA: dict[str, dict[str, str | None]] = {"png": {}, "pdf": {"CreationDate": None}}


def draw(name: str, table: pd.DataFrame) -> Figure:
    """Draw the figure of that name from its table.

    Raises:
        ValueError: No figure has that name.
    """
    if name not in FIGURES:
        raise ValueError(f"figure must be one of {', '.join(FIGURES)}, got {name}")
    with plain_style():
        figure = import_module(FIGURES[name]).draw(table)
    assert isinstance(figure, Figure)
    return figure


def plain_style() -> AbstractContextManager[None]:
    """Context with matplotlib's defaults, in which text in a PDF stays text."""
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    return matplotlib.rc_context(defaults | {"pdf.fonttype": 42})


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as the content of a .png, .pdf or .svg file.

    Raises:
        ValueError: The kind is another.
    """
    if kind not in (*METADATA, "svg"):
        raise ValueError(f"picture must be a .png, .pdf or .svg file, got .{kind}")
    stream = io.BytesIO()
    with plain_style():
        metadata = METADATA.get(kind, {"Date": None})
        figure.savefig(stream, format=kind, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def save(
    figure: Figure, folder: Path, name: str, write: Callable[[Path, bytes], object]
) -> list[Path]:
    """Write NAME.png and NAME.pdf, once both have been drawn, and return their paths.

    Args:
        figure: The figure.
        folder: The folder, which is made if need be.
        name: Name of the files.
        write: Writes a file.

    Raises:
        ValueError: The folder cannot be written.
    """
    contents = {Path(folder) / f"{name}.{kind}": rendered(figure, kind) for kind in METADATA}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            write(path, content)
    except OSError as error:
        raise ValueError(f"{folder}: must be a writable folder, got {error.strerror}") from None
    return list(contents)
