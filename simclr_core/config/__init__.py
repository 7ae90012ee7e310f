"""What a run is: configuration fields and their valid values, ids, costs, recipes. Loads no torch."""
