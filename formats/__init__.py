"""What one package writes and another reads: names of columns and metrics, levels, selectors, whole files."""
