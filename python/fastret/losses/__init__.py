"""Contrastive losses that never hold the matrix of all scores."""

from .info_nce import InfoNCEResult, info_nce

__all__ = ["InfoNCEResult", "info_nce"]
