"""What makes embeddings of one label come together and others part, each of one batch."""
