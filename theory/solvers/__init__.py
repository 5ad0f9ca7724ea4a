"""Solvers as tables with one row per denoiser call."""
