"""What SLURM says of jobs, and of the job that this process belongs to."""
