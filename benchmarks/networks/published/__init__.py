"""EDM's and EDM2's networks, and readers of their files that run no code from them."""
