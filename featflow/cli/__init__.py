"""Commands, and what they print."""

from featflow.cli.main import main

__all__ = ["main"]
