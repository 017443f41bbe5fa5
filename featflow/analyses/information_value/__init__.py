"""Bins of a feature against a binary target: information value, weight of evidence, KS, AUC, best split."""
