"""Transforms of vectors, and the index that applies them."""
