"""Vectors in files of others: read into a gallery, and written out of one."""
