"""Sketches of Apache DataSketches, stored as other engines read them."""
