"""The run folders: the state of each run, the process that works on it, its provenance."""
