"""Columns made of a row's other columns."""
