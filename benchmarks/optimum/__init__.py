"""Noise levels that minimise the exact divergence of a sampler, for a mixture or a profile."""
