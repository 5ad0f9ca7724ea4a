"""Schedules of noise levels, and the options of a recommended schedule."""
