"""The trainer: one configuration in, one run directory out."""
