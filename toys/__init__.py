"""Gaussian mixtures and point sets with exact posteriors; imports only `theory` of the suite."""
