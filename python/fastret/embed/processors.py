"""Processors of multimodal models, built so that they need no torchvision: PIL images, and no video branch."""

from __future__ import annotations

from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from .backbone import explained, quiet
from .sources import Source


def load_image_processor(source: Source) -> Any:
    """The checkpoint's image processor on Pillow: the same pixels whether or not torchvision is installed."""
    auto_class: Any = AutoImageProcessor
    with explained(source), quiet():
        return auto_class.from_pretrained(source.path, backend="pil", **source.arguments)


def load_tokenizer(source: Source) -> Any:
    """The checkpoint's tokenizer, padding on the right: there causal models cannot see the padding at all.

    Raises ValueError where no vocabulary was found: transformers makes a tokenizer to which all texts are one.
    """
    with explained(source), quiet():
        tokenizer = AutoTokenizer.from_pretrained(source.path, **source.arguments, **source.gguf_arguments)
    if set(tokenizer.get_vocab()) <= {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}:
        raise ValueError(
            f"load_encoder: {source.name} has no vocabulary; give it the files of its tokenizer, such as tokenizer.json"
        )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        # Any token will do: the mask hides it.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_processor(source: Source, config: Any) -> Any:
    """The processor of an image-text model: its own rules for placeholder tokens, without its video processor."""
    image_processor, tokenizer = load_image_processor(source), load_tokenizer(source)
    with explained(source), quiet():
        settings, _ = ProcessorMixin.get_processor_dict(source.path, **source.arguments)
        processor_class = _images_only(_processor_class(settings, config))
        parts = {"image_processor": image_processor, "tokenizer": tokenizer}
        arguments = [parts.get(attribute) for attribute in processor_class.get_attributes()]
        processor = processor_class.from_args_and_dict(arguments, settings)
    if processor.chat_template is None:
        processor.chat_template = tokenizer.chat_template
    return processor


def _processor_class(settings: dict[str, Any], config: Any) -> Any:
    import transformers

    named = getattr(transformers, settings.get("processor_class") or "", None)
    return named or PROCESSOR_MAPPING[type(config)]


def _images_only(processor_class: Any) -> Any:
    """A subclass that may be made without a video processor, which transformers builds on torchvision alone."""

    class ImagesOnly(processor_class):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
            if argument_name == "video_processor" and argument is None:
                return type(None)
            return super().check_argument_for_proper_class(argument_name, argument)

    return ImagesOnly
