"""A simulated genome with cell types whose truth is known: the embedded default data, and the tests' data."""

from .oracle import AccessibilityOracle, PairRule, Sites
from .simulate import simulate_atlas


__all__ = ["AccessibilityOracle", "PairRule", "Sites", "simulate_atlas"]
