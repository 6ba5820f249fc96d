"""Embeddings from models: `load_encoder` makes an Encoder, `fastret.embed.store` keeps what it gives on disk."""

from __future__ import annotations

from .encoder import Encoder
from .loading import load_encoder

__all__ = ["Encoder", "load_encoder"]
