"""What a model is trained on: images with labels, and which of them come together."""
