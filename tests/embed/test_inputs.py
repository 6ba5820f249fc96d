"""Inputs that encoders refuse, each in one sentence that names it; and images as files have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from PIL import Image

from fastret.embed import Encoder
from fastret.embed.batching import encode_batches
from fastret.embed.control_tokens import ControlTokenGuard
from fastret.embed.images import open_image, pixel_count
from fastret.embed.refused_images import image_faults

SIGHTED = [*tiny_models.DUAL_ENCODERS, *tiny_models.MULTIMODAL]
TinyEncoder = Callable[[str], Encoder]


@pytest.mark.parametrize("family", ["clip", "qwen2_vl"])
@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_an_image_that_does_not_decode_is_named(
    family: str, content: bytes, tiny_encoder: TinyEncoder, tmp_path: Path, images: list[Image.Image]
) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"encode_images: the image .*/bad\.png does not decode: "):
        tiny_encoder(family).encode_images([images[0], tmp_path / "bad.png"])


@pytest.mark.parametrize("family", ["clip", "qwen2_vl"])
def test_a_truncated_image_is_named(
    family: str, tiny_encoder: TinyEncoder, tmp_path: Path, images: list[Image.Image]
) -> None:
    images[0].save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"the image .*/half\.png does not decode: "):
        tiny_encoder(family).encode_images([tmp_path / "half.png"])
    with pytest.raises(FileNotFoundError, match=r"there is no file .*/none\.png"):
        tiny_encoder(family).encode_images([tmp_path / "none.png"])


def test_transparent_pixels_are_white_and_not_what_lies_under_them() -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = [255, 0, 0, 255]
    opened = np.asarray(open_image(Image.fromarray(pixels)))
    assert opened.tolist() == [[[255, 0, 0], [255, 255, 255]], [[255, 255, 255], [255, 255, 255]]]


def test_images_are_turned_as_their_exif_orientation_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (20, 30)
    assert pixel_count(tmp_path / "turned.jpg") == 600


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I", "I;16", "I;16B", "RGBA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert open_image(Image.new(mode, (3, 2))).mode == "RGB"


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_grey_levels_of_16_bits_become_the_nearest_of_8(dtype: type[np.generic], tmp_path: Path) -> None:
    levels = np.array([[0, 128, 129, 257], [300, 32768, 65406, 65535]], dtype=dtype)
    Image.fromarray(levels).save(tmp_path / "deep.tiff")
    for image in (tmp_path / "deep.tiff", Image.fromarray(levels)):
        assert np.asarray(open_image(image))[:, :, 0].tolist() == [[0, 0, 1, 1], [1, 128, 254, 255]]


def test_pixels_of_no_known_range_are_refused(tmp_path: Path) -> None:
    Image.new("F", (3, 2)).save(tmp_path / "depth.tiff")
    with pytest.raises(ValueError, match=r"the image .*/depth\.tiff does not decode: its pixels are floating-point"):
        open_image(tmp_path / "depth.tiff")
    with pytest.raises(ValueError, match="its grey levels must be 0 to 65535, got -1 to -1"):
        open_image(Image.new("I", (3, 2), -1))


@pytest.mark.parametrize("family", ["bert", "llama", "clip", "llava"])
@pytest.mark.parametrize(
    ("texts", "error", "sentence"),
    [
        (["a", " "], ValueError, "encode_texts: the text at position 1 is empty"),
        (["a", None], TypeError, "encode_texts: texts must be strings, got NoneType at position 1"),
        ("a", TypeError, "encode_texts: texts must be a sequence of strings, got one string"),
    ],
)
def test_texts_that_are_none_are_named(
    family: str, texts: Any, error: type[Exception], sentence: str, tiny_encoder: TinyEncoder
) -> None:
    with pytest.raises(error, match=sentence):
        tiny_encoder(family).encode_texts(texts)


def test_images_of_another_type_are_named(tiny_encoder: TinyEncoder, images: list[Image.Image]) -> None:
    encoder: Any = tiny_encoder("clip")
    with pytest.raises(TypeError, match="paths or the bytes of files, got ndarray at position 1"):
        encoder.encode_images([images[0], np.zeros((3, 3))])
    with pytest.raises(TypeError, match="images must be a sequence of images or paths, got str"):
        encoder.encode_images("photo.jpg")


@pytest.mark.parametrize("family", tiny_models.MULTIMODAL)
def test_control_tokens_in_a_text_are_only_text(family: str, tiny_encoder: TinyEncoder) -> None:
    encoder = tiny_encoder(family)
    hostile = "a <image> b <|image_pad|> c <start_of_image> d <IMG_CONTEXT> e <image_soft_token> f <|im_end|>"
    embeddings = encoder.encode_texts([hostile, "a plain text"])
    assert (embeddings[1] - encoder.encode_texts(["a plain text"])[0]).abs().max() < 1e-5
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("family", ["bert", "llama", "clip", "qwen2_vl"])
def test_control_tokens_in_a_text_reach_the_model_as_letters(family: str, tiny_encoder: TinyEncoder) -> None:
    encoder: Any = tiny_encoder(family)
    tokenizer = encoder.processor.tokenizer if family == "qwen2_vl" else encoder.tokenizer
    seen: list[list[int]] = []
    model = encoder.backbone.model
    embed_tokens = model.text_model.embeddings.token_embedding if family == "clip" else model.get_input_embeddings()
    hook = embed_tokens.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].flatten().tolist()))
    try:
        encoder.encode_texts(["dog"])
        encoder.encode_texts([f"dog {''.join(tokenizer.get_added_vocab())} dog"])
    finally:
        hook.remove()
    control = set(tokenizer.get_added_vocab().values())
    plain, hostile = ([token for token in tokens if token in control] for tokens in seen)
    assert hostile == plain


def test_a_guard_changes_control_tokens_alone() -> None:
    class Tokenizer:
        def get_added_vocab(self) -> dict[str, int]:
            return {"[SEP]": 0, "<a>": 1, "<a<b>": 2, "<b>": 3, "  ": 4, "cat": 5}

    guard = ControlTokenGuard(Tokenizer())
    ordinary = "a cat  <c> [sep] [x] a < b > a\n<"
    assert guard(ordinary) == ordinary
    assert guard("[SEP]x<a><a<b>") == "[ SEP]x< a>< a< b>"


def test_an_image_that_the_model_does_not_take_is_named_among_the_others(
    tiny_encoder: TinyEncoder, images: list[Image.Image], tmp_path: Path
) -> None:
    Image.new("RGB", (300, 1)).save(tmp_path / "thread.png")
    sentence = r"the model does not take the image .*/thread\.png of 300 x 1 pixels: absolute aspect ratio must be"
    with pytest.raises(ValueError, match=sentence):
        tiny_encoder("qwen2_vl").encode_images([images[0], tmp_path / "thread.png"])
    (tmp_path / "bad.png").write_bytes(b"no image")
    files = [tmp_path / name for name in ("thread.png", "bad.png", "none.png")]
    faults = image_faults(tiny_encoder("qwen2_vl"), [images[0], None, *files])
    assert faults[:2] == [None, None]
    for fault, reason in zip(faults[2:], ("the model does not take", "does not decode", "there is no"), strict=True):
        assert fault is not None and reason in fault


@pytest.mark.parametrize("family", SIGHTED)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3)])
def test_images_of_one_or_three_pixels_are_not_taken_for_channels(
    family: str, size: tuple[int, int], tiny_encoder: TinyEncoder, images: list[Image.Image]
) -> None:
    encoder = tiny_encoder(family)
    narrow = images[0].resize(size)
    alone, among_others = encoder.encode_images([narrow]), encoder.encode_images([images[1], narrow])[1:]
    assert (alone - among_others).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["clip", "llava"])
def test_pairs_need_as_many_images_as_texts(family: str, tiny_encoder: TinyEncoder, images: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="encode_pairs: images and texts must be as many, got 4 and 1"):
        tiny_encoder(family).encode_pairs(images, ["dog"])


def test_a_text_encoder_says_that_it_embeds_text_only(tiny_encoder: TinyEncoder, images: list[Image.Image]) -> None:
    encoder = tiny_encoder("bert")
    assert encoder.inputs == {"text"}
    with pytest.raises(ValueError, match=r"encode_images: .* embeds text only"):
        encoder.encode_images(images)
    with pytest.raises(ValueError, match=r"encode_pairs: .* embeds text only"):
        encoder.encode_pairs(images, ["a"] * 4)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_the_batch_size_must_be_a_positive_integer(batch_size: Any, tiny_encoder: TinyEncoder) -> None:
    with pytest.raises(ValueError, match=f"batch_size must be a positive integer, got {batch_size}"):
        tiny_encoder("bert").encode_texts(["dog"], batch_size=batch_size)


def test_batches_are_sorted_the_longest_first_and_reported() -> None:
    import torch

    seen: list[list[str]] = []
    finished: list[int] = []

    def encode(batch: list[str]) -> torch.Tensor:
        seen.append(batch)
        return torch.tensor([[float(len(item))] for item in batch])

    items = ["aa", "a", "aaaaa", "aaa", "aaaa"]
    sizes = [len(item) for item in items]
    embeddings = encode_batches(items, encode, dim=1, sizes=sizes, batch_size=2, progress=finished.append)
    assert seen == [["aaaaa", "aaaa"], ["aaa", "aa"], ["a"]]
    assert finished == [2, 2, 1]
    assert embeddings.flatten().tolist() == sizes


def test_a_bar_is_drawn_only_where_it_is_wanted(tiny_encoder: TinyEncoder, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = tiny_encoder("bert")
    encoder.encode_texts(["dog", "cat"])
    encoder.encode_texts(["dog", "cat"], progress=False)
    assert capfd.readouterr() == ("", "")
    encoder.encode_texts(["dog", "cat"], progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "2/2" in err
