"""Gaussian mixtures and point sets whose every quantity is computable; imports nothing of ours."""
