"""EDM's and EDM2's networks, and their files read as data."""
