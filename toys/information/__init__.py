"""Exact information measures of mixtures in the Gaussian channel."""
