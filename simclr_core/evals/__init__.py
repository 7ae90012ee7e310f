"""One short file per protocol, on embeddings computed once for all of them."""
