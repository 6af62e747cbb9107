"""A model in the files of other runtimes, and the proof that they compute the same."""
