"""What claims assert, and the verdicts on them."""
