"""Schedules, and what recommends one."""
