"""Coordinates of the noise level, and processes."""
