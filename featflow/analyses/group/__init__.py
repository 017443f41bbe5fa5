"""Groups of redundant features, and a representative of each."""
