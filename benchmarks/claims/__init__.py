"""The ledger: every numbered statement of the four papers, executed."""
