"""Shared settings of the tests."""

from hypothesis import settings

# A kernel's first call compiles it, which no per-example deadline survives.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
