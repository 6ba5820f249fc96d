"""Text encoders (MiniLM and other BERT-likes) and causal language models, from safetensors or GGUF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .backbone import Backbone
from .batching import Progress, check_texts, encode_batches
from .images import ImageInput
from .pooling import check_pooling, pool
from .prompts import Prompt
from .sources import Source


class TextEncoder:
    """Hidden states of a transformer over text, pooled to one vector per text."""

    inputs = frozenset({"text"})

    def __init__(
        self, source: Source, config: Any, *, pooling: str | None, prompt: Prompt, dtype: str | torch.dtype, device: str
    ) -> None:
        from transformers import AutoModel, AutoModelForCausalLM

        from .backbone import load_backbone
        from .processors import load_tokenizer

        self.name = source.name
        self.prompt = prompt
        recipe = SentenceTransformersRecipe.read(source)
        self.pooling = check_pooling(pooling or recipe.pooling or default_pooling(config))
        self.tokenizer = load_tokenizer(source)
        self.max_tokens = token_limit(self.tokenizer, config, recipe.max_tokens)
        if source.gguf_file:
            # Only the causal class knows the names of GGUF tensors; its base model skips the vocabulary head.
            loaded = load_backbone(source, AutoModelForCausalLM, dtype=dtype, device=device)
            self.backbone = Backbone(loaded.model.base_model, loaded.device, loaded.dtype)
        else:
            self.backbone = load_backbone(source, AutoModel, dtype=dtype, device=device)
        self.dim = int(self.backbone.model.config.hidden_size)
        self._eos = eos_to_append(self.tokenizer, self.name) if self.pooling == "eos" else ""
        self._facts = {"model": source.name, "family": config.model_type, "revision": source.resolved_revision(config)}

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU, not normalised. A text beyond the model's limit loses its end, not its prompt."""
        texts = check_texts(texts)
        return encode_batches(
            texts,
            self._encode,
            dim=self.dim,
            sizes=[len(text) for text in texts],
            batch_size=batch_size,
            progress=progress,
        )

    def encode_images(
        self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """Raises ValueError: a text encoder has no eyes."""
        raise ValueError(f"encode_images: {self.name} embeds text only")

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """Raises ValueError: a text encoder has no eyes."""
        raise ValueError(f"encode_pairs: {self.name} embeds text only")

    def describe(self) -> dict[str, str]:
        """What the embeddings depend on: model, family, revision, pooling, prompt, dtype."""
        return self._facts | {
            "pooling": self.pooling,
            "prompt": self.prompt.name,
            "dtype": str(self.backbone.dtype).removeprefix("torch."),
        }

    def _encode(self, texts: list[str]) -> Tensor:
        room = self.max_tokens - len(self.tokenizer(self.prompt.text.replace("{}", "") + self._eos).input_ids)
        prompted = [
            self.prompt.text.replace("{}", cut_to_tokens(text, self.tokenizer, room)) + self._eos for text in texts
        ]
        tokens = self.tokenizer(prompted, padding=True, return_tensors="pt")
        inputs = self.backbone.place({key: tokens[key] for key in ("input_ids", "attention_mask")})
        with self.backbone.inference():
            hidden_states = self.backbone.model(**inputs).last_hidden_state
            return pool(hidden_states, inputs["attention_mask"], self.pooling)


class SentenceTransformersRecipe:
    """Pooling and length limit that a sentence-transformers folder prescribes; None where it prescribes none."""

    _MODES = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_lasttoken": "last",
    }

    def __init__(self, pooling: str | None = None, max_tokens: int | None = None) -> None:
        self.pooling = pooling
        self.max_tokens = max_tokens

    @classmethod
    def read(cls, source: Source) -> SentenceTransformersRecipe:
        """Read modules.json and the folders it names.

        A final Normalize module is left out (embeddings are returned as the model gives them); any other module
        would change the embeddings, so it raises ValueError.
        """
        modules = read_json(source, "modules.json")
        if modules is None:
            return cls()
        pooling = None
        for module in modules:
            kind = module["type"].rsplit(".", 1)[-1]
            if kind == "Pooling":
                pooling = cls._pooling(source, f"{module['path']}/config.json")
            elif kind not in ("Transformer", "Normalize"):
                raise ValueError(
                    f"load_encoder: {source.name} ends in a sentence-transformers {kind} module, which is not "
                    "supported; modules may be Transformer, Pooling (mean, cls or last token) and Normalize"
                )
        settings = read_json(source, "sentence_bert_config.json") or {}
        return cls(pooling, settings.get("max_seq_length"))

    @classmethod
    def _pooling(cls, source: Source, path: str) -> str:
        settings = read_json(source, path) or {}
        modes = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
        if len(modes) != 1 or modes[0] not in cls._MODES:
            raise ValueError(
                f"load_encoder: {source.name} pools by {' and '.join(modes) or 'nothing'}; supported are "
                f"{', '.join(cls._MODES)}"
            )
        return cls._MODES[modes[0]]


def read_json(source: Source, file: str) -> Any:
    """A JSON file of a folder or of the hub; None where it is absent."""
    from transformers.utils import cached_file

    found = cached_file(source.path, file, _raise_exceptions_for_missing_entries=False, **source.arguments)
    return None if found is None else json.loads(Path(found).read_text(encoding="utf-8"))


def default_pooling(config: Any) -> str:
    """The last token for causal language models, which see no further; the mean for bidirectional encoders."""
    causal = any(name.endswith("ForCausalLM") for name in config.architectures or ())
    return "last" if causal else "mean"


def token_limit(tokenizer: Any, config: Any, prescribed: int | None = None) -> int:
    """The most tokens that a text may have, prompt and special tokens included."""
    limits = (prescribed, tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
    return min(int(limit) for limit in limits if limit)


def eos_to_append(tokenizer: Any, name: str) -> str:
    """What to put behind a text so that its last token is the end-of-sequence token."""
    if tokenizer.eos_token is None:
        raise ValueError(f"load_encoder: pooling 'eos' needs an end-of-sequence token, and {name} has none")
    adds_itself = tokenizer("a").input_ids[-1] == tokenizer.eos_token_id
    return "" if adds_itself else str(tokenizer.eos_token)


def cut_to_tokens(text: str, tokenizer: Any, room: int) -> str:
    """`text` itself, or so much of its beginning as makes at most `room` tokens."""
    # No tokenizer here makes more tokens than there are bytes.
    if len(text.encode()) <= room:
        return text
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    return text if len(offsets) <= room else text[: offsets[max(room, 1) - 1][1]]
