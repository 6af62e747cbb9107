"""The model as a graph that other runtimes load, built from our own parameters."""
