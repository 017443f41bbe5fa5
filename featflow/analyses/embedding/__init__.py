"""Embedding table: a row an image, with its vector or the reason for its absence."""
