"""Profile of the vectors of an image column: spectrum, classes, duplicates."""
