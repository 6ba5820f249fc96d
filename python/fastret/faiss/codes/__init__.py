"""Vectors as codes: product and scalar quantizers, LSH."""
