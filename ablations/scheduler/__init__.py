"""What SLURM reports about jobs, and the job that this process belongs to."""
