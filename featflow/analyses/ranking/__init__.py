"""Which features carry information about a target."""
