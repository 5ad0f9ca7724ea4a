"""Profiles: the mmse over noise levels, from mixtures, losses and networks."""
