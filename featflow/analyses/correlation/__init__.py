"""How strongly columns depend on each other, pair by pair."""
