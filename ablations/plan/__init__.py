"""Which runs a grid needs now, and what these runs will cost."""
