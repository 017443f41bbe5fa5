"""Principal directions and clusters of a column's vectors."""
