"""Runs on this machine: one job, the worker processes, the progress that is shown."""
