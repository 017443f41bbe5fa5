"""Drift: changes since an earlier run."""
