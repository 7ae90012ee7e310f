"""Runs on a SLURM cluster: submission, the task on a node, what SLURM says of jobs."""
