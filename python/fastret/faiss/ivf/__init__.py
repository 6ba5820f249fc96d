"""Inverted files."""
