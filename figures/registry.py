"""The figures by name, and how they are written to disk."""

import os
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
    figure = import_module(FIGURES[name]).draw(table)
    assert isinstance(figure, Figure)
    return figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.pdf, each completely or not at all, and return their paths.

    Raises:
        ValueError: The folder cannot be written.
    """
    folder = Path(folder)
    paths = [folder / f"{name}.{kind}" for kind in METADATA]
    parts = [folder / f".{path.name}.part" for path in paths]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with matplotlib.rc_context({"pdf.fonttype": 42}):  # keeps text as text
                for part, (kind, metadata) in zip(parts, METADATA.items(), strict=True):
                    figure.savefig(part, format=kind, dpi=DPI, metadata=metadata)
            for part, path in zip(parts, paths, strict=True):
                os.replace(part, path)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: must be a writable folder, got {error.strerror}") from None
    return paths
