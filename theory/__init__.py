"""Noise levels, profiles, schedules and solver tables; imports nothing of ours."""
