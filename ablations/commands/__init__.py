"""The command line `ablate`, one file for each group of commands."""
