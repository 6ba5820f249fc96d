"""Contrastive losses that never hold the matrix of all scores."""

from .info_nce import InfoNCEResult, info_nce
from .modules import InfoNCE, SigmoidLoss
from .sigmoid_loss import sigmoid_loss

__all__ = ["InfoNCE", "InfoNCEResult", "SigmoidLoss", "info_nce", "sigmoid_loss"]
