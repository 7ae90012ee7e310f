"""The folders of runs: what state each run is in, who works on it, where it came from."""
