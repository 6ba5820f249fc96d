"""Tiny, randomly initialised checkpoints of every supported family: a seeded folder that `load_encoder` can open.

Each builder writes config.json, the weights, a tokenizer trained on a few sentences, and image-processor and processor
settings, in the layout that models have on the Hugging Face hub; nothing is downloaded and torchvision is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers import processors as postprocessors
from transformers import PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

SENTENCES = [
    "a photo of a red apple on a table",
    "two dogs run in the park",
    "Summarize the above image in one word:",
    "Summarize the above sentence in one word:",
    "user assistant system\n",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LANGUAGE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}


def build_tiny_clip(path: Path) -> Path:
    tokenizer = _tokenizer(eos="<|endoftext|>", pad="<pad>", bos="<|startoftext|>")
    tokenizer.model_max_length = 32
    marks = [(mark, tokenizer.convert_tokens_to_ids(mark)) for mark in ("<|startoftext|>", "<|endoftext|>")]
    tokenizer.backend_tokenizer.post_processor = postprocessors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=marks
    )
    special = {name: getattr(tokenizer, name) for name in ("eos_token_id", "bos_token_id", "pad_token_id")}
    config = transformers.CLIPConfig(
        text_config={**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 32, **special},
        vision_config=VISION,
        projection_dim=16,
    )
    return _save(path, transformers.CLIPModel, config, tokenizer, _clip_image_processor())


def build_tiny_siglip(path: Path) -> Path:
    tokenizer = _tokenizer()
    tokenizer.model_max_length = 16
    config = transformers.SiglipConfig(
        text_config={**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 16}, vision_config=VISION
    )
    return _save(path, transformers.SiglipModel, config, tokenizer, SiglipImageProcessorPil(size=SQUARE))


def build_tiny_llava(path: Path) -> Path:
    tokenizer = _tokenizer("<image>", image_token="<image>")
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**LANGUAGE, **_vocabulary(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    settings = {
        "processor_class": "LlavaProcessor",
        "patch_size": 8,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    model = transformers.LlavaForConditionalGeneration
    return _save(path, model, config, tokenizer, _clip_image_processor(), settings, image="<image>")


def build_tiny_llava_next(path: Path) -> Path:
    """The architecture of E5-V."""
    tokenizer = _tokenizer("<image>", image_token="<image>")
    grid = [[32, 64], [64, 32], [64, 64]]
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**LANGUAGE, **_vocabulary(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
        vision_feature_layer=-1,
    )
    image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=SQUARE, image_grid_pinpoints=grid
    )
    settings = {
        "processor_class": "LlavaNextProcessor",
        "patch_size": 8,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    model = transformers.LlavaNextForConditionalGeneration
    return _save(path, model, config, tokenizer, image_processor, settings, image="<image>")


def build_tiny_llava_onevision(path: Path) -> Path:
    tokenizer = _tokenizer("<image>", "<video>", image_token="<image>", video_token="<video>")
    grid = [[32, 32], [32, 64], [64, 32]]
    config = transformers.LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", **VISION, "vision_use_head": False},
        text_config={"model_type": "qwen2", **LANGUAGE, "vocab_size": len(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        vision_aspect_ratio="anyres_max_9",
    )
    image_processor = LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=grid)
    settings = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": 16,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": "anyres_max_9",
    }
    model = transformers.LlavaOnevisionForConditionalGeneration
    return _save(path, model, config, tokenizer, image_processor, settings, image="<image>")


def build_tiny_qwen2_vl(path: Path) -> Path:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2}
    return _save_qwen(path, "Qwen2VL", vision, min_pixels=32 * 32, max_pixels=64 * 64)


def build_tiny_qwen2_5_vl(path: Path) -> Path:
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    windows = {"window_size": 32, "fullatt_block_indexes": [1]}
    return _save_qwen(path, "Qwen2_5_VL", {**vision, **windows}, min_pixels=32 * 32, max_pixels=64 * 64)


def build_tiny_qwen3_vl(path: Path) -> Path:
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    positions = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    return _save_qwen(path, "Qwen3VL", {**vision, **positions}, size=size)


def build_tiny_idefics3(path: Path) -> Path:
    return _save_idefics(path, "Idefics3", Idefics3ImageProcessorPil)


def build_tiny_smolvlm(path: Path) -> Path:
    return _save_idefics(path, "SmolVLM", SmolVLMImageProcessorPil)


def build_tiny_gemma3(path: Path) -> Path:
    marks = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = _tokenizer(*marks.values(), **marks)
    config = transformers.Gemma3Config(
        text_config={
            **LANGUAGE,
            "vocab_size": len(tokenizer),
            "head_dim": 8,
            "sliding_window": 64,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        vision_config={**VISION, "vision_use_head": False},
        mm_tokens_per_image=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
    )
    settings = {"processor_class": "Gemma3Processor", "image_seq_length": 4}
    model = transformers.Gemma3ForConditionalGeneration
    image_processor = Gemma3ImageProcessorPil(size=SQUARE)
    return _save(path, model, config, tokenizer, image_processor, settings, image="<start_of_image>")


def build_tiny_internvl(path: Path) -> Path:
    marks = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = _tokenizer(*marks.values(), **marks)
    config = transformers.InternVLConfig(
        vision_config={**TOWER, "image_size": [32, 32], "patch_size": [8, 8]},
        text_config={"model_type": "qwen2", **LANGUAGE, "vocab_size": len(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    image_processor = GotOcr2ImageProcessorPil(size=SQUARE, min_patches=1, max_patches=2)
    settings = {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    model = transformers.InternVLForConditionalGeneration
    return _save(path, model, config, tokenizer, image_processor, settings, image="<IMG_CONTEXT>")


def build_tiny_bert(path: Path) -> Path:
    """A sentence-transformers folder: BERT, mean pooling, a length limit of 24 tokens, normalisation."""
    tokenizer = _tokenizer(pad="<pad>", eos="<eos>")
    config = transformers.BertConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=64)
    _save(path, transformers.BertModel, config, tokenizer)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": folder, "type": f"sentence_transformers.models.{kind}"} for folder, kind in kinds.items()]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 24}))
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling/config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    )
    return path


def build_tiny_llama(path: Path) -> Path:
    tokenizer = _tokenizer()
    config = transformers.LlamaConfig(**LANGUAGE, **_vocabulary(tokenizer))
    return _save(path, transformers.LlamaForCausalLM, config, tokenizer)


def build_tiny_gpt2(path: Path) -> Path:
    """A causal model with learned absolute positions: padding on the left would shift them."""
    tokenizer = _tokenizer()
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=128, vocab_size=len(tokenizer))
    return _save(path, transformers.GPT2LMHeadModel, config, tokenizer)


DUAL_ENCODERS: dict[str, Callable[[Path], Path]] = {"clip": build_tiny_clip, "siglip": build_tiny_siglip}
MULTIMODAL: dict[str, Callable[[Path], Path]] = {
    "llava": build_tiny_llava,
    "llava_next": build_tiny_llava_next,
    "llava_onevision": build_tiny_llava_onevision,
    "qwen2_vl": build_tiny_qwen2_vl,
    "qwen2_5_vl": build_tiny_qwen2_5_vl,
    "qwen3_vl": build_tiny_qwen3_vl,
    "idefics3": build_tiny_idefics3,
    "smolvlm": build_tiny_smolvlm,
    "gemma3": build_tiny_gemma3,
    "internvl": build_tiny_internvl,
}
TEXT_ENCODERS: dict[str, Callable[[Path], Path]] = {
    "bert": build_tiny_bert,
    "llama": build_tiny_llama,
    "gpt2": build_tiny_gpt2,
}
BUILDERS = {**DUAL_ENCODERS, **MULTIMODAL, **TEXT_ENCODERS}


def _tokenizer(
    *extra: str, eos: str = "<|im_end|>", pad: str = "<|endoftext|>", bos: str | None = None, **named: str
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; `named` special tokens become attributes, such as image_token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # CLIP takes an end-of-sequence id of 2 for its first, faulty release and pools elsewhere: with bos, eos is 3.
    special = [token for token in (pad, "<|im_start|>", bos, eos, *extra) if token]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=eos,
        pad_token=pad,
        bos_token=bos,
        unk_token=pad,
        padding_side="left",
        extra_special_tokens=named,
    )


def _vocabulary(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }


def _clip_image_processor() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)


def _save_qwen(path: Path, family: str, vision: dict[str, Any], **image_settings: Any) -> Path:
    marks = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    }
    tokenizer = _tokenizer(*marks.values(), **marks)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    patches = {"patch_size": 8, "temporal_patch_size": 2}
    config = getattr(transformers, f"{family}Config")(
        text_config={
            **LANGUAGE,
            "vocab_size": len(tokenizer),
            "rope_parameters": rope,
            "rope_scaling": rope,
            "tie_word_embeddings": True,
            "head_dim": 8,
        },
        vision_config={**vision, **patches, "spatial_merge_size": 2},
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    image_processor = Qwen2VLImageProcessorPil(**patches, merge_size=2, **image_settings)
    settings = {"processor_class": f"{family}Processor"}
    model = getattr(transformers, f"{family}ForConditionalGeneration")
    placeholder = "<|vision_start|><|image_pad|><|vision_end|>"
    return _save(path, model, config, tokenizer, image_processor, settings, image=placeholder)


def _save_idefics(path: Path, family: str, image_processor_class: Any) -> Path:
    marks = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    tokenizer = _tokenizer(*marks.values(), **marks)
    config = getattr(transformers, f"{family}Config")(
        text_config=transformers.LlamaConfig(**LANGUAGE, **_vocabulary(tokenizer)),
        vision_config=VISION,
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    # Images are split into tiles of 32 pixels and a thumbnail.
    image_processor = image_processor_class(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    settings = {"processor_class": f"{family}Processor", "image_seq_len": 4}
    model = getattr(transformers, f"{family}ForConditionalGeneration")
    return _save(path, model, config, tokenizer, image_processor, settings, image="<image>")


def _save(
    path: Path,
    model_class: Any,
    config: Any,
    tokenizer: PreTrainedTokenizerFast,
    image_processor: Any = None,
    processor_settings: dict[str, Any] | None = None,
    *,
    image: str = "",
) -> Path:
    """Write a folder as the hub has it; `image` is what the chat template writes where an image goes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config).eval()
        for parameter in model.parameters():
            # Some projections start as zeros: a model that could not see its images would pass for one that can.
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(path)
    if image:
        tokenizer.chat_template = CHAT_TEMPLATE.replace("IMAGE", image)
    tokenizer.save_pretrained(path)
    if image_processor is not None:
        image_processor.save_pretrained(path)
    if processor_settings is not None:
        (path / "processor_config.json").write_text(json.dumps(processor_settings))
    return path
