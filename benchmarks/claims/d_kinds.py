"""Makers of paper D's claims: one function for each kind of statement."""

from typing import Any

from benchmarks.claims.ledger import IDENTITY, QUADRATURE, ROUNDING, SAMPLED, Claim, Measure


def identity(
    name: str, number: str, statement: str, formula: str, domain: str, measure: Measure, **more: Any
) -> Claim:
    """An identity to 1e-9 whose sides are integrals."""
    fields: dict[str, Any] = {"tolerance": IDENTITY, "made_of": QUADRATURE} | more
    return Claim(f"D.{name}", number, statement, formula, "identity", domain, measure, **fields)


def pointwise(
    name: str, number: str, statement: str, formula: str, domain: str, measure: Measure, **more: Any
) -> Claim:
    """An identity to 1e-9 at given states or levels, without integrals."""
    fields: dict[str, Any] = {"made_of": ROUNDING} | more
    return identity(name, number, statement, formula, domain, measure, **fields)


def sample_mean(
    name: str, number: str, statement: str, formula: str, domain: str, measure: Measure, **more: Any
) -> Claim:
    """An identity of means, by Monte Carlo."""
    fields: dict[str, Any] = {"tolerance": 4.0, "made_of": SAMPLED} | more
    return identity(name, number, statement, formula, domain, measure, **fields)


def bound(
    name: str, number: str, statement: str, formula: str, domain: str, measure: Measure, **more: Any
) -> Claim:
    """An inequality, to the engine's accuracy."""
    fields: dict[str, Any] = {"tolerance": 1e-11, "made_of": QUADRATURE} | more
    return Claim(f"D.{name}", number, statement, formula, "inequality", domain, measure, **fields)


def observation(
    name: str, number: str, statement: str, formula: str, domain: str, measure: Measure, **more: Any
) -> Claim:
    """An empirical statement: the share of settings that disagree with it."""
    fields: dict[str, Any] = {"tolerance": 0.0, "made_of": "a count"} | more
    return Claim(f"D.{name}", number, statement, formula, "empirical", domain, measure, **fields)
