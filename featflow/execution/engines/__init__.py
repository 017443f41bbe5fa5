"""Engines: what maps a function over items."""
