"""Measures: pure functions from states to tables."""
