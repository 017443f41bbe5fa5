"""What report sections are made of: listings, plots, labels, limits."""
