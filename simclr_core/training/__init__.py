"""The training loop, its batches, optimisers and checkpoints, and the files of training curves."""
