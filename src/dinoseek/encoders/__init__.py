"""Pixels to tokens, on one of several engines."""
