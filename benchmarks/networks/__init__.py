"""Trained networks behind one protocol, in torch: adapters, samplers by solver tables, profiles."""
