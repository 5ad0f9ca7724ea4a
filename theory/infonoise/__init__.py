"""Online allocation of training noise (paper D)."""
