"""Exact laws of the final states of one-dimensional samplers."""
