"""Indexes: stored vectors with ids, searched exactly."""

from .flat import FlatIndex
from .mapped import MappedFlatIndex

__all__ = ["FlatIndex", "MappedFlatIndex"]
