"""Images and their vectors on disk, and nearest-neighbour search over them."""
