"""Evaluation: how good embeddings are, by the protocols that the literature measures with."""
