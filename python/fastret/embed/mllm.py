"""Multimodal language models as encoders: one chat turn with the image or text and a prompt, hidden states pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .backbone import load_backbone
from .batching import Progress, check_texts, encode_batches
from .control_tokens import ControlTokenGuard
from .dual import check_pairs
from .images import ImageInput, check_images, check_processable, open_images, pixel_count
from .pooling import check_pooling, first_token_refused, pool
from .prompts import PRESETS, Prompt
from .sources import Source
from .text import cut_to_tokens, eos_to_append, token_limit

Item = tuple[ImageInput | None, str | None]


class MultimodalEncoder:
    """Hidden states of an image-text-to-text model (LLaVA, Qwen-VL, SmolVLM, Idefics3, Gemma3, InternVL, ...)."""

    inputs = frozenset({"text", "image", "pair"})

    def __init__(
        self,
        source: Source,
        config: Any,
        *,
        pooling: str | None,
        prompt: Prompt | None,
        dtype: str | torch.dtype,
        device: str,
    ) -> None:
        from transformers import AutoModelForImageTextToText

        from .processors import load_processor

        self.name = source.name
        self.pooling = check_pooling(pooling or "last")
        if self.pooling == "cls":
            raise first_token_refused(self.name)
        # Without an instruction the next token continues a conversation and says little about the content.
        self.prompt = PRESETS["summary"] if prompt is None else prompt
        self.processor = load_processor(source, config)
        self.image_processor = self.processor.image_processor
        self.backbone = load_backbone(source, config, AutoModelForImageTextToText, dtype=dtype, device=device)
        text_config = config.get_text_config()
        self.dim = int(text_config.hidden_size)
        self.max_tokens = token_limit(self.processor.tokenizer, text_config)
        self._guarded = ControlTokenGuard(self.processor.tokenizer)
        self._eos = eos_to_append(self.processor.tokenizer, self.name) if self.pooling == "eos" else ""
        self._facts = {"model": source.name, "family": config.model_type, "revision": source.resolved_revision(config)}

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU, not normalised. A text beyond the limit loses its end, not its prompt."""
        texts = check_texts(texts)
        return self._encode_all(
            [(None, text) for text in texts], [(0, len(text)) for text in texts], batch_size, progress
        )

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU, not normalised. Images are decoded batch by batch."""
        images = check_images(images)
        return self._encode_all(
            [(image, None) for image in images], [(pixel_count(image), 0) for image in images], batch_size, progress
        )

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """[N, dim] float32 on the CPU: the image and its text in one turn of the chat."""
        images, texts = check_images(images), check_texts(texts)
        check_pairs(images, texts)
        items: list[Item] = list(zip(images, texts, strict=True))
        sizes = [(pixel_count(image), len(text)) for image, text in zip(images, texts, strict=True)]
        return self._encode_all(items, sizes, batch_size, progress)

    def describe(self) -> dict[str, str]:
        """What the embeddings depend on: model, family, revision, pooling, prompt, dtype."""
        return self._facts | {
            "pooling": self.pooling,
            "prompt": self.prompt.name,
            "dtype": str(self.backbone.dtype).removeprefix("torch."),
        }

    def _encode_all(
        self, items: list[Item], sizes: list[tuple[int, int]], batch_size: int, progress: Progress
    ) -> Tensor:
        return encode_batches(items, self._encode, dim=self.dim, sizes=sizes, batch_size=batch_size, progress=progress)

    def _encode(self, items: list[Item]) -> Tensor:
        images = open_images([image for image, _ in items if image is not None])
        try:
            tokens = self.processor(
                text=[self._conversation(has_image=image is not None, text=text) for image, text in items],
                images=[[image] for image in images] or None,
                padding=True,
                padding_side="right",
                return_tensors="pt",
            )
        except ValueError:
            # Such as an aspect ratio beyond what Qwen-VL takes: said of one image, instead of the whole batch.
            for image, _ in items:
                if image is not None:
                    check_processable(self.image_processor, image)
            raise
        inputs = self.backbone.place(tokens)
        with self.backbone.inference():
            # The base model stops at the hidden states: no [B, T, vocabulary] logits are made.
            hidden_states = self.backbone.model.base_model(**inputs).last_hidden_state
            return pool(hidden_states, inputs["attention_mask"], self.pooling)

    def _conversation(self, *, has_image: bool, text: str | None) -> str:
        """One user turn, with the assistant's turn opened, as the model's chat template writes it."""
        template = self.prompt.text if not has_image else self.prompt.image if text is None else self.prompt.pair
        before, _, after = template.partition("{}")
        if text is not None:
            # What the template adds is short next to the thousands of tokens such a model takes: leave an eighth.
            after = cut_to_tokens(self._guarded(text), self.processor.tokenizer, self.max_tokens * 7 // 8) + after
        content = [{"type": "text", "text": before}] if before else []
        content += [{"type": "image"}] if has_image else []
        content += [{"type": "text", "text": after}] if after else []
        if self.processor.chat_template is None:
            # A base model: the content alone, with the placeholder where the image goes.
            parts = [part["text"] if part["type"] == "text" else self.processor.image_token for part in content]
            return "".join(parts) + self._eos
        turn = self.processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.processor.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return str(turn) + self._eos
