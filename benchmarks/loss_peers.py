"""What contrastive losses are measured against: plain torch, open_clip, sentence-transformers, and products alone.

memeff, siglip-kernel, inf-cl and liger-kernel are not among them: their kernels need a GPU.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .peers import _import_or_none

Step = Callable[[Tensor, Tensor], "tuple[Tensor, Tensor, Tensor]"]  # queries, keys -> loss and their gradients
LOGIT_SCALE = 20.0
BIAS = -10.0
MINI_BATCH = 32
OPEN_CLIP = "open_clip"
SENTENCE_TRANSFORMERS = "sentence-transformers"


def _open_clip_losses() -> ModuleType | None:
    """open_clip/loss.py by itself: the package wants torchvision, which not every build of torch has."""
    package = importlib.util.find_spec("open_clip")
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0]) / "loss.py"
    spec = importlib.util.spec_from_file_location("open_clip_loss", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


open_clip = _open_clip_losses()
sentence_losses = _import_or_none("sentence_transformers.sentence_transformer.losses")


def differentiated(loss: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """A step of training, less the encoder."""

    def step(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        leaves = [one.detach().requires_grad_() for one in (queries, keys)]
        found = loss(*leaves)
        found.backward()
        return found.detach(), leaves[0].grad, leaves[1].grad

    return step


def plain_info_nce(queries: Tensor, keys: Tensor) -> Tensor:
    return F.cross_entropy(queries @ keys.T * LOGIT_SCALE, torch.arange(len(queries)))


def plain_symmetric(queries: Tensor, keys: Tensor) -> Tensor:
    scores, labels = queries @ keys.T * LOGIT_SCALE, torch.arange(len(queries))
    return (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2


def plain_sigmoid(queries: Tensor, keys: Tensor) -> Tensor:
    logits = queries @ keys.T * LOGIT_SCALE + BIAS
    return -F.logsigmoid(logits * (2 * torch.eye(len(queries), dtype=logits.dtype) - 1)).sum() / len(queries)


def plain_guided(queries: Tensor, keys: Tensor) -> Tensor:
    """Without what the guide, here the vectors themselves, scores above the positive."""
    sides = [(queries, keys), (queries, queries), (keys, keys)]
    scores = torch.cat([a @ b.T for a, b in sides], 1)
    limit = (queries * keys).sum(1, keepdim=True).detach()
    numbers = torch.arange(len(queries))
    dropped = (scores > limit).scatter(1, numbers[:, None], False)
    return F.cross_entropy(scores.masked_fill(dropped, -torch.inf) * LOGIT_SCALE, numbers)


def of_cosines(loss: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor, Tensor], Any]:
    """As sentence-transformers does it, whose losses normalise what they are given."""
    return lambda queries, keys: loss(F.normalize(queries, dim=1), F.normalize(keys, dim=1))


def products_alone(count: int) -> Callable[[Tensor, Tensor], None]:
    """So many products of the size of the scores: the least that any loss needs which never holds all of them."""

    @torch.no_grad()
    def run(queries: Tensor, keys: Tensor) -> None:
        for _ in range(count - 2):
            scores = queries @ keys.T
        scores @ keys
        scores.T @ queries

    return run


def clip_loss() -> Step:
    assert open_clip is not None
    loss = open_clip.ClipLoss()
    return differentiated(lambda queries, keys: loss(queries, keys, torch.tensor(LOGIT_SCALE)))


def siglip_loss() -> Step:
    assert open_clip is not None
    loss = open_clip.SigLipLoss()
    scale, bias = torch.tensor(LOGIT_SCALE), torch.tensor(BIAS)
    return differentiated(lambda queries, keys: loss(queries, keys, scale, bias))


def cached_ranking_loss() -> Step:
    """The loss stage of CachedMultipleNegativesRankingLoss: embeddings made, their gradients not yet sent back."""
    model: Any = [None]  # it is asked for its first module alone
    loss = sentence_losses.CachedMultipleNegativesRankingLoss(model, scale=LOGIT_SCALE, mini_batch_size=MINI_BATCH)
    return _loss_stage(lambda reps: loss.calculate_loss(reps, with_backward=True))


def cached_guided_loss() -> Step:
    """The loss stage of CachedGISTEmbedLoss, whose constructor wants the tokenizers of two models."""
    loss = sentence_losses.CachedGISTEmbedLoss.__new__(sentence_losses.CachedGISTEmbedLoss)
    torch.nn.Module.__init__(loss)
    loss.temperature, loss.mini_batch_size, loss.show_progress_bar = 1 / LOGIT_SCALE, MINI_BATCH, False
    loss.margin_strategy, loss.margin, loss.gather_across_devices = "absolute", 0.0, False
    loss.contrast_anchors = loss.contrast_positives = True
    loss.similarity_fct, loss.cross_entropy_loss = torch.nn.CosineSimilarity(dim=-1), torch.nn.CrossEntropyLoss()

    def stage(reps: list[list[Tensor]]) -> Tensor:
        guides = [[one.detach() for one in side] for side in reps]
        found: Tensor = loss.calculate_loss(reps, guides, with_backward=True)
        return found

    return _loss_stage(stage)


def _loss_stage(stage: Callable[[list[list[Tensor]]], Tensor]) -> Step:
    def step(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reps = [[part.detach().requires_grad_() for part in side.split(MINI_BATCH)] for side in (queries, keys)]
        found = stage(reps)
        gradients = [torch.cat([part.grad for part in side if part.grad is not None]) for side in reps]
        return found.detach(), gradients[0], gradients[1]

    return step
