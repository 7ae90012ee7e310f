"""Grids on a SLURM cluster: profiles, submission through submitit, the task on a node, and what the scheduler says."""
