"""What the vectors of an image column look like: spectrum, classes, duplicates."""
