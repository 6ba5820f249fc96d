"""From images and chat turns to what the model takes, as a `LlavaProcessor` of transformers."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from .vision_tower import STRIDE_PX

IMAGE_TOKEN = "<image>"
RESERVED_TOKEN = "<empty_output>"  # of SmolLM2's vocabulary, for notebooks

# SmolLM2's own turns without its system message, which costs more tokens than an image does.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}" + IMAGE_TOKEN + "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_processor(tokenizer: Any, image_px: int) -> Any:
    """tokenizer: SmolLM2's, or any other with an "<image>" token or the token that SmolLM2 keeps for notebooks.

    Raises ValueError where it has neither.
    """
    square = {"height": image_px, "width": image_px}
    processor_class: Any = LlavaProcessor
    return processor_class(
        # The weights come from TensorFlow, which fed them (x - 127) / 128.
        CLIPImageProcessorPil(
            size=square,
            crop_size=square,
            do_center_crop=False,
            resample=2,  # bilinear
            image_mean=[127 / 255] * 3,
            image_std=[128 / 255] * 3,
        ),
        _with_image_token(tokenizer),
        patch_size=STRIDE_PX,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )


def user_turn(processor: Any, request: str) -> str:
    """An image and a request about it, with the assistant's turn opened."""
    content = [{"type": "image"}, {"type": "text", "text": request}]
    turn: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return turn


def _with_image_token(tokenizer: Any) -> Any:
    """A reserved token under another name: the vocabulary, and with it every weight, stays as it is."""
    vocabulary = tokenizer.get_vocab()
    if IMAGE_TOKEN not in vocabulary and RESERVED_TOKEN not in vocabulary:
        raise ValueError(
            f"build_processor: the tokenizer must have the token {IMAGE_TOKEN} or {RESERVED_TOKEN}, got one without"
        )
    renamed = tokenizer.backend_tokenizer.to_str()
    if IMAGE_TOKEN not in vocabulary:
        renamed = renamed.replace(RESERVED_TOKEN, IMAGE_TOKEN)
    tokenizer_class: Any = PreTrainedTokenizerFast
    return tokenizer_class(
        tokenizer_object=Tokenizer.from_str(renamed),
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token or tokenizer.eos_token,
        model_max_length=tokenizer.model_max_length,
        padding_side="right",
    )
