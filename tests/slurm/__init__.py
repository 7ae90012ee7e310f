"""Tests on a SLURM cluster of their own, which runs on this machine."""
