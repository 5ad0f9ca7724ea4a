"""Sampler in, number out: divergences, orders, entropies, distances."""
