"""Bytes written once, retries, the lock; runs and their tables."""
