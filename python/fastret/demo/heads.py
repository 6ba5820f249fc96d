"""Two small projection heads that bring frozen image and text features into one space."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from tqdm import tqdm

BATCH = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
LOG_SCALE = 2.65  # CLIP starts at 1/0.07 = exp(2.65)


class ProjectionHeads(nn.Module):
    """`project_images` and `project_texts` give unit vectors of one space."""

    image_mean: Tensor  # [image_dim]
    image_scale: Tensor  # [image_dim]

    def __init__(self, image_features: Tensor, text_dim: int, dim: int = 256, hidden: int = 512) -> None:
        """image_features: [M, image_dim], whose mean and deviation standardise every image's features."""
        super().__init__()
        self.register_buffer("image_mean", image_features.mean(0))
        self.register_buffer("image_scale", image_features.std(0) + 1e-3)
        self.image_head = _head(image_features.shape[1], hidden, dim)
        self.text_head = _head(text_dim, hidden, dim)
        self.log_scale = nn.Parameter(torch.tensor(LOG_SCALE))

    def project_images(self, features: Tensor) -> Tensor:  # [N, image_dim] -> [N, dim]
        return normalize(self.image_head((features - self.image_mean) / self.image_scale), dim=1)

    def project_texts(self, features: Tensor) -> Tensor:  # [N, text_dim] -> [N, dim]
        return normalize(self.text_head(normalize(features, dim=1)), dim=1)


def train_heads(
    image_features: Tensor,  # [M, image_dim]
    text_features: Tensor,  # [M, T, text_dim]: T ways to put each image in words
    concepts: Tensor,  # [M] int64: rows of one concept are no negatives of each other
    *,
    steps: int,
    seed: int,
    progress: bool | None = None,
) -> ProjectionHeads:
    """Trains with the symmetric contrastive loss of CLIP (arXiv 2103.00020), a text drawn anew for each image.

    progress: None shows a bar where stderr is a terminal, True always, False never.
    """
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        heads = ProjectionHeads(image_features, text_features.shape[2])
        optimizer = torch.optim.AdamW(heads.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in tqdm(range(steps), desc="train", unit="step", disable=None if progress is None else not progress):
            rows = torch.randint(len(image_features), (BATCH,))
            wording = torch.randint(text_features.shape[1], (BATCH,))
            images = heads.project_images(image_features[rows])
            texts = heads.project_texts(text_features[rows, wording])
            scores = heads.log_scale.exp().clamp(max=100) * images @ texts.T
            same_concept = concepts[rows][:, None] == concepts[rows][None, :]
            scores = scores.masked_fill(same_concept & ~torch.eye(BATCH, dtype=torch.bool), -torch.inf)
            pairs = torch.arange(BATCH)
            loss = (cross_entropy(scores, pairs) + cross_entropy(scores.T, pairs)) / 2
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return heads.eval().requires_grad_(False)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: the heads are small, and the result does not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(0.3), nn.Linear(hidden, outputs))
