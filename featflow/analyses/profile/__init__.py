"""What each column looks like."""
