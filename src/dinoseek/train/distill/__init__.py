"""A small model that learns to see as a large one does, from pictures without labels."""
