"""The model: put together from the parts' own packages, its new weights alone in a file of a few megabytes."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from fastret.embed.backbone import load_backbone, quiet
from fastret.embed.processors import load_tokenizer
from fastret.embed.sources import find_source

from .processor import IMAGE_TOKEN, build_processor
from .vision_tower import EfficientNetLiteModel, grid_cells, load_vision_tower

LANGUAGE = "smollm2"
ADAPTED = ["q_proj", "k_proj", "v_proj", "o_proj"]  # what low-rank adapters are added to


def load_language() -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct in float32, and its tokenizer. Raises OSError where its package is missing."""
    source = find_source(LANGUAGE)
    config = AutoConfig.from_pretrained(source.path, **source.gguf_arguments)
    loaded = load_backbone(source, config, AutoModelForCausalLM, dtype="float32", device="cpu")
    return loaded.model, load_tokenizer(source)


def build_model(
    vision: EfficientNetLiteModel, language: Any, processor: Any, *, lora_rank: int = 0, seed: int = 0
) -> Any:
    """A `LlavaForConditionalGeneration` of the two towers, frozen and not copied, with a new projector between them.

    The projector's parameters alone have gradients. language: a causal language model. lora_rank: of low-rank adapters
    (arXiv 2106.09685) on its attention, which then have gradients too; 0 adds none.
    Raises ValueError where lora_rank is negative, RuntimeError where it needs peft, which is missing.
    """
    if lora_rank < 0:
        raise ValueError(f"build_model: lora_rank must not be negative, got {lora_rank}")
    tokenizer = processor.tokenizer
    config = LlavaConfig(
        vision_config=vision.config,
        text_config=language.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=grid_cells(vision.config.image_size),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    with torch.device("meta"):
        model: Any = LlavaForConditionalGeneration(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.model.multi_modal_projector = LlavaMultiModalProjector(config)
        model.model.vision_tower = vision.requires_grad_(False)
        model.model.language_model = language.base_model.requires_grad_(False)
        model.lm_head = language.lm_head.requires_grad_(False)
        if lora_rank:
            _add_adapters(model.model.language_model, lora_rank)
    generation_config: Any = GenerationConfig
    model.generation_config = generation_config(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model.eval()


def new_weights(model: Any) -> dict[str, Tensor]:
    """What is trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def load_model(weights: Path) -> tuple[Any, Any]:
    """The model with the new weights in `weights`, and its processor; adapters are merged into the language model.

    Raises ValueError where the file holds the weights of another model.
    """
    saved = load_file(weights)
    vision, (language, tokenizer) = load_vision_tower(), load_language()
    processor = build_processor(tokenizer, vision.config.image_size)
    lora_rank = next((len(tensor) for name, tensor in saved.items() if ".lora_A." in name), 0)
    model = build_model(vision, language, processor, lora_rank=lora_rank)
    expected = {name: tensor.shape for name, tensor in new_weights(model).items()}
    if {name: tensor.shape for name, tensor in saved.items()} != expected:
        raise ValueError(f"load_model: {weights} must hold the projector and adapters of this model, got others")
    model.load_state_dict(saved, strict=False)
    if lora_rank:
        _merge_adapters(model.model.language_model)
    return model.requires_grad_(False), processor


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """Write the whole model to a folder that `from_pretrained` and `fastret.embed.load_encoder` read.

    The folder appears when it is complete. Raises FileExistsError where there is one already.
    """
    if folder.exists():
        raise FileExistsError(f"save_model: {folder} is there already; choose another folder")
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    with quiet():
        model.save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
    unfinished.rename(folder)


def input_embeddings(
    model: Any,
    cells: Tensor,  # [B, cells, 1280]: feature maps of the vision tower
    input_ids: Tensor,  # [B, T], with as many image tokens in each row
) -> Tensor:  # [B, T, D]
    """The tokens' embeddings with the projected cells in place of the image tokens."""
    projected = model.model.multi_modal_projector(cells)
    is_image = (input_ids == model.config.image_token_id).unsqueeze(-1)
    embeddings: Tensor = model.get_input_embeddings()(input_ids).masked_scatter(is_image, projected)
    return embeddings


def _add_adapters(language: Any, rank: int) -> None:
    if find_spec("peft") is None:
        raise RuntimeError("build_model: lora_rank needs the package peft, which is missing; run: pip install peft")
    from peft import LoraConfig, inject_adapter_in_model

    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=ADAPTED), language)


def _merge_adapters(language: Any) -> None:
    """Puts plain linear layers, with the adapters added to their weights, where the adapted ones are."""
    from peft.tuners.lora import LoraLayer

    for layer in language.layers:
        for name in ADAPTED:
            adapted = getattr(layer.self_attn, name)
            if isinstance(adapted, LoraLayer):
                adapted.merge()
                setattr(layer.self_attn, name, adapted.get_base_layer())
