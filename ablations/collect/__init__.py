"""From the folders of runs to the tables in results/."""
