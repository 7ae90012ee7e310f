"""The evaluation protocols, on a network that they leave as it is."""
