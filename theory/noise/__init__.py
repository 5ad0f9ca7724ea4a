"""Coordinates of the noise level, and named processes."""
