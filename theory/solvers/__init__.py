"""Solvers as tables, one row per denoiser call."""
