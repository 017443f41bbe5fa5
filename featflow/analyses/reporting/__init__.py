"""Parts of report sections: listings, plots, labels, limits."""
