"""What a run is: its fields, their valid values, the ids and costs that follow from them. Loads no torch."""
