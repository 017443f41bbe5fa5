"""Which pairs of features say more about a target together than apart."""
