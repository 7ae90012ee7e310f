"""Tables of the documentation that are made from the grids."""
