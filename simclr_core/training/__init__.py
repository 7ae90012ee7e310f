"""The training loop, its batches and optimisers, and what it writes as it goes."""
