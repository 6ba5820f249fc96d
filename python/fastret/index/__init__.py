"""Indexes: stored vectors with ids, searched exactly."""

from .flat import FlatIndex

__all__ = ["FlatIndex"]
