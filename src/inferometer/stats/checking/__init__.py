"""Simulations that show what the intervals and tests of this package promise."""
