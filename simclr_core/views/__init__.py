"""The random views of a batch: what is drawn, and how it is applied."""
