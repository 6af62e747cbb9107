"""Better orders of a search's first hits, from their vectors or their patches."""
