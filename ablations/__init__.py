"""The harness: from a grid file to finished runs."""
