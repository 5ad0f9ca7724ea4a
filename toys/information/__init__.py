"""Exact information of mixtures in the Gaussian channel."""
