"""Next-token prediction of captions over cached feature maps, and what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .captions import REQUEST, CaptionedPicture, name_of
from .model import input_embeddings
from .pictures import PictureCells
from .processor import IMAGE_TOKEN, user_turn

IGNORED = -100  # torch's label of positions that have no loss
NAME_TOKENS = 16  # the most that a generated name may take


@dataclass(frozen=True)
class Captioner:
    """A model with the feature maps that it learns from; `dtype` is that of the language model's matrix products."""

    model: Any  # as `build_model` gives it
    processor: Any
    pictures: PictureCells
    dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    def losses(self, batch: Sequence[CaptionedPicture]) -> Tensor:
        """The negative log-likelihood of every caption token, and of the end that follows, [tokens] float32."""
        prefix, tokenizer = self._prefix(), self.processor.tokenizer
        captions = [tokenizer(one.caption + tokenizer.eos_token, add_special_tokens=False).input_ids for one in batch]
        longest = max(map(len, captions))
        padded = [ids + [tokenizer.pad_token_id] * (longest - len(ids)) for ids in captions]
        labels = [ids + [IGNORED] * (longest - len(ids)) for ids in captions]
        # Padding on the right is behind all that is predicted, where causal attention does not see it: no mask.
        input_ids = torch.tensor([prefix + ids for ids in padded], device=self.device)
        embeddings = input_embeddings(self.model, self._cells(batch), input_ids)
        with self._mixed_precision():
            hidden = self.model.model.language_model(inputs_embeds=embeddings).last_hidden_state
        logits = self.model.lm_head(hidden[:, len(prefix) - 1 : -1].float())
        expected = torch.tensor(labels, device=self.device).flatten()
        kept = expected != IGNORED
        return cross_entropy(logits.flatten(0, 1)[kept], expected[kept], reduction="none")

    @torch.inference_mode()
    def caption_loss(self, captioned: Sequence[CaptionedPicture], batch_size: int) -> float:
        """The mean over all caption tokens, in nats."""
        return torch.cat([self.losses(batch) for batch in _batches(captioned, batch_size)]).mean().item()

    @torch.inference_mode()
    def names(self, captioned: Sequence[CaptionedPicture], batch_size: int) -> list[str]:
        """The name that greedy decoding gives each picture."""
        prefix = torch.tensor([self._prefix()], device=self.device)
        names: list[str] = []
        for batch in _batches(captioned, batch_size):
            embeddings = input_embeddings(self.model, self._cells(batch), prefix.expand(len(batch), -1))
            with self._mixed_precision():
                written = self.model.generate(
                    inputs_embeds=embeddings,
                    attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.int64, device=self.device),
                    max_new_tokens=NAME_TOKENS,
                    do_sample=False,
                )
            names += map(name_of, self.processor.tokenizer.batch_decode(written, skip_special_tokens=True))
        return names

    def _prefix(self) -> list[int]:
        """The tokens before a caption, the same for all."""
        turn = user_turn(self.processor, REQUEST).replace(IMAGE_TOKEN, IMAGE_TOKEN * self.pictures.cells)
        ids: list[int] = self.processor.tokenizer(turn, add_special_tokens=False).input_ids
        return ids

    def _cells(self, batch: Sequence[CaptionedPicture]) -> Tensor:
        return self.pictures.of([one.picture for one in batch]).to(self.device)

    def _mixed_precision(self) -> Any:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def evaluate(
    captioner: Captioner, seen: Sequence[CaptionedPicture], unseen: Sequence[CaptionedPicture], *, batch_size: int
) -> dict[str, float]:
    """Caption loss and exact-name rate on concepts that were trained on and on others.

    "unseen, other picture" is the loss of the unseen captions beside the next concept's picture: what is learnt of
    captions alone. The share of names is over exact matches, but for capitals.
    """
    swapped = [
        CaptionedPicture(other.picture, one.caption)
        for one, other in zip(unseen, [*unseen[1:], unseen[0]], strict=True)
    ]
    return {
        "caption loss, seen": captioner.caption_loss(seen, batch_size),
        "caption loss, unseen": captioner.caption_loss(unseen, batch_size),
        "caption loss, unseen, other picture": captioner.caption_loss(swapped, batch_size),
        "exact name, seen": _exact(captioner.names(seen, batch_size), seen),
        "exact name, unseen": _exact(captioner.names(unseen, batch_size), unseen),
    }


def _exact(names: Sequence[str], captioned: Sequence[CaptionedPicture]) -> float:
    right = [name.lower() == name_of(one.caption).lower() for name, one in zip(names, captioned, strict=True)]
    return sum(right) / len(right)


def _batches(items: Sequence[CaptionedPicture], size: int) -> list[Sequence[CaptionedPicture]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
