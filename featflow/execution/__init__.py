"""Engines, passes over shards, states and their merge tree, stored columns, blocks, progress."""
