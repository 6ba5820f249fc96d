"""losses: a step of contrastive training less the encoder, loss and gradients, against peers and products alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import fastret

from . import loss_peers
from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .loss_peers import BIAS, LOGIT_SCALE, OPEN_CLIP, SENTENCE_TRANSFORMERS, Step, differentiated, of_cosines
from .peers import TORCH
from .vectors import batched_embeddings

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries and keys [B, D], which are pairs
Kind = Literal["one direction", "symmetric", "sigmoid", "guided"]
TEMPERATURE = 1 / LOGIT_SCALE

OURS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "one direction": lambda q, k: fastret.info_nce(q, k, temperature=TEMPERATURE),
    "symmetric": lambda q, k: fastret.info_nce(q, k, temperature=TEMPERATURE, symmetric=True),
    "sigmoid": lambda q, k: fastret.sigmoid_loss(q, k, temperature=TEMPERATURE, bias=BIAS),
    "guided": lambda q, k: fastret.info_nce(
        q, k, temperature=TEMPERATURE, false_negative_margin=0.0, query_query=True, key_key=True
    ),
}
PLAIN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "one direction": loss_peers.plain_info_nce,
    "symmetric": loss_peers.plain_symmetric,
    "sigmoid": loss_peers.plain_sigmoid,
    "guided": loss_peers.plain_guided,
}
PRODUCTS = {"one direction": 3, "symmetric": 4, "sigmoid": 3}


@dataclass(frozen=True)
class LossWork:
    op: ClassVar[str] = "losses"
    kind: Kind
    batch: int
    dim: int
    dtype: str = "float32"
    cached: bool = False  # against losses that go through the scores MINI_BATCH rows at a time

    def __str__(self) -> str:
        return f"{self.kind} {self.batch}x{self.dim} {self.dtype}{' cached' if self.cached else ''}"

    def inputs(self) -> Vectors:
        queries, keys = (normalize(one, dim=-1) for one in batched_embeddings(0, self.batch, self.batch, self.dim))
        pairs = normalize(queries + keys, dim=-1)  # so that a query and its key have something in common
        return queries.to(self._dtype), pairs.to(self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32

    def _step(self, losses: dict[str, Callable[[Tensor, Tensor], Any]]) -> Step:
        loss = losses[self.kind]
        return differentiated(of_cosines(loss) if self.cached else loss)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Step | Callable[[Tensor, Tensor], None]] = {FASTRET: self._step(OURS)}
        if self.cached:
            if loss_peers.sentence_losses:
                guided = self.kind == "guided"
                cached = loss_peers.cached_guided_loss if guided else loss_peers.cached_ranking_loss
                found[SENTENCE_TRANSFORMERS] = cached()
        else:
            found[TORCH] = self._step(PLAIN)
            if self.kind in PRODUCTS:
                number = PRODUCTS[self.kind]
                found[f"{number} matrix products"] = loss_peers.products_alone(number)
            if loss_peers.open_clip and self.kind in ("symmetric", "sigmoid"):
                found[OPEN_CLIP] = (loss_peers.clip_loss if self.kind == "symmetric" else loss_peers.siglip_loss)()
        prepared = {name: _on_inputs(step) for name, step in found.items()}
        if self.dtype == "bfloat16":
            prepared["fastret, float32"] = lambda vectors: _run(
                self._step(OURS), (vectors[0].float(), vectors[1].float())
            )
        return prepared

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        """Of loss and gradients, those within 1e-5 of float64's; in bfloat16 within the error of plain torch."""
        if answer is None:
            return 0.0  # products alone are no loss
        wanted = _expected(self)
        bounds = [1e-5] * 3
        if self.dtype == "bfloat16":
            plain = self._step(PLAIN)(*vectors)
            bounds = [max(1e-5, _error(*one)) for one in zip(plain, wanted, strict=True)]
        near = [_error(got, want) <= bound for got, want, bound in zip(answer, wanted, bounds, strict=True)]
        return sum(near) / len(near)


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm())


def _on_inputs(step: Callable[[Tensor, Tensor], Any]) -> Prepare:
    return lambda vectors: _run(step, vectors)


def _run(step: Callable[[Tensor, Tensor], Any], vectors: Vectors) -> Run:
    return lambda: step(*vectors)


@lru_cache(maxsize=1)
def _expected(work: LossWork) -> tuple[Tensor, Tensor, Tensor]:
    queries, keys = work.inputs()
    return work._step(PLAIN)(queries.double(), keys.double())


def works(quick: bool, embeddings: Path | None) -> list[LossWork]:
    batch, dim = (96, 32) if quick else (4096, 512)
    return [
        LossWork("one direction", batch, dim),
        LossWork("one direction", batch, dim, "bfloat16"),
        LossWork("symmetric", batch, dim),
        LossWork("symmetric", batch, dim, "bfloat16"),
        LossWork("sigmoid", batch, dim),
        LossWork("one direction", batch, dim, cached=True),
        # 3 x 32 x B x D products and their gradients each: a larger batch shows nothing that this one does not.
        LossWork("guided", batch // 4, dim, cached=True),
    ]


@pytest.mark.benchmark(timer=clock)
def test_losses(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
