"""The claims ledger: every numbered statement of the four papers, evaluated numerically.

The docstring of a measure gives the number of a statement and the two sides that are compared.
"""
