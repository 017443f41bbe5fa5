"""What the bins of a feature say of a binary target: information value, weight of evidence, KS, AUC, best split."""
