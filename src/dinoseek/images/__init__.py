"""Bytes to RGB pictures, and pictures to the pixels a model wants."""
