"""From a grid file to the runs that it asks for."""
