"""Noise levels, profiles, schedules and solver tables; imports no other package of the suite."""
