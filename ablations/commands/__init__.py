"""What the commands of ``ablate`` do; ``ablations.cli`` gives them their names."""
