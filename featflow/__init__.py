"""featflow."""
