"""Which runs a grid needs now, and what they will cost."""
