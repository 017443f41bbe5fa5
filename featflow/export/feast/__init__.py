"""A Feast repository of a finished run."""
