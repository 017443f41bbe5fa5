"""Which features to use: a path of features, each with what it adds to those before it."""
