"""Indexes of binary vectors."""
