"""Profiles: the mmse over noise levels, of mixtures or from losses of networks."""
