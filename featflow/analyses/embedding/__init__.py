"""A row an image: its vector, or why there is none."""
