"""What a column is, and how its values become keys, codes, ranks and jackknife groups."""
