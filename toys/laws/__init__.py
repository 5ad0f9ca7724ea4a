"""Exact laws of one-dimensional samplers."""
