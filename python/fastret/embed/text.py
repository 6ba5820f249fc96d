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
from .control_tokens import ControlTokenGuard
from .images import ImageInput
from .pooling import check_pooling, first_token_refused, pool
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
        prescribed_pooling, prescribed_limit = sentence_transformers_recipe(source)
        self.pooling = check_pooling(pooling or prescribed_pooling or default_pooling(config, source))
        self.tokenizer = load_tokenizer(source)
        self._guarded = ControlTokenGuard(self.tokenizer)
        self.max_tokens = token_limit(self.tokenizer, config, prescribed_limit)
        if source.gguf_file:
            # Only the causal class knows the names of GGUF tensors; its base model skips the vocabulary head.
            loaded = load_backbone(source, config, AutoModelForCausalLM, dtype=dtype, device=device)
            self.backbone = Backbone(loaded.model.base_model, loaded.device, loaded.dtype)
        else:
            self.backbone = load_backbone(source, config, AutoModel, dtype=dtype, device=device)
        if self.pooling == "cls" and (
            default_pooling(config, source) == "last" or looks_only_back(self.backbone.model)
        ):
            raise first_token_refused(self.name)
        self.dim = int(self.backbone.model.config.hidden_size)
        self._eos = eos_to_append(self.tokenizer, self.name) if self.pooling == "eos" else ""
        self._facts = {"model": source.name, "family": config.model_type, "revision": source.resolved_revision(config)}

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU, not normalised. A text beyond the limit loses its end, not its prompt."""
        texts = check_texts(texts)
        return encode_batches(
            texts,
            self._encode,
            dim=self.dim,
            sizes=[len(text) for text in texts],
            batch_size=batch_size,
            progress=progress,
        )

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
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
        contents = [cut_to_tokens(self._guarded(text), self.tokenizer, room) for text in texts]
        prompted = [self.prompt.text.replace("{}", content) + self._eos for content in contents]
        tokens = self.tokenizer(prompted, padding=True, return_tensors="pt")
        inputs = self.backbone.place({key: tokens[key] for key in ("input_ids", "attention_mask")})
        with self.backbone.inference():
            hidden_states = self.backbone.model(**inputs).last_hidden_state
            return pool(hidden_states, inputs["attention_mask"], self.pooling)


# How sentence-transformers names what pooling.py knows.
POOLING_MODES = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}


def sentence_transformers_recipe(source: Source) -> tuple[str | None, int | None]:
    """The pooling and the length limit that a sentence-transformers folder prescribes; None where it prescribes none.

    A Normalize module is left out, because embeddings are returned as the model gives them. Raises ValueError for any
    other module that would change the embeddings, and for a pooling that is none of ours.
    """
    modules = read_json(source, "modules.json")
    if modules is None:
        return None, None
    pooling = None
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            modes = _pooling_modes(read_json(source, f"{module['path']}/config.json") or {})
            pooling = POOLING_MODES.get(modes[0]) if len(modes) == 1 else None
            if pooling is None:
                raise ValueError(
                    f"load_encoder: {source.name} pools by {' and '.join(modes) or 'nothing'}; supported are mean, cls "
                    "and lasttoken"
                )
        elif kind not in ("Transformer", "Normalize"):
            raise ValueError(
                f"load_encoder: {source.name} ends in a sentence-transformers {kind} module; supported are "
                "Transformer, Pooling and Normalize"
            )
    return pooling, (read_json(source, "sentence_bert_config.json") or {}).get("max_seq_length")


def _pooling_modes(settings: dict[str, Any]) -> list[str]:
    """From `"pooling_mode": "mean"`, as version 6 writes it, or a flag per mode, as versions before did."""
    if named := settings.get("pooling_mode"):
        return [named] if isinstance(named, str) else list(named)
    flags = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    return [flag.removeprefix("pooling_mode_") for flag in flags]


def read_json(source: Source, file: str) -> Any:
    """A JSON file of a folder or of the hub; None where it is absent."""
    from transformers.utils.hub import cached_file

    found = cached_file(source.path, file, _raise_exceptions_for_missing_entries=False, **source.arguments)
    return None if found is None else json.loads(Path(found).read_text(encoding="utf-8"))


def default_pooling(config: Any, source: Source) -> str:
    """The last token for causal language models, the only one that has seen the whole text; else the mean."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    causal_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    saved_as = config.architectures or ()
    causal = source.gguf_file or (causal_class is not None and causal_class.__name__ in saved_as)
    return "last" if causal else "mean"


def looks_only_back(model: Any) -> bool:
    """Whether attention is causal, also where the checkpoint was saved without the language model's head."""
    return any(getattr(module, "is_causal", False) for module in model.modules())


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
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False).offset_mapping
    return text if len(offsets) <= room else text[: offsets[max(room, 1) - 1][1]]
