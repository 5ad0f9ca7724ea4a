"""Trained networks behind one protocol, in torch: adapters, samplers that walk tables, profiles."""
