"""The figures of a grid, ours beside the paper's."""
