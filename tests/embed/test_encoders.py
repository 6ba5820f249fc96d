"""Every family, from a tiny checkpoint built, saved and loaded again, with neither a network nor torchvision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from fastret.embed import Encoder, load_encoder

TinyModel = Callable[[str], Path]
TinyEncoder = Callable[[str], Encoder]
SIGHTED = [*tiny_models.DUAL_ENCODERS, *tiny_models.MULTIMODAL]
# Sums of a few hundred products of float32 in another order: a few units in the last place of values near 1.
ROUNDING = 1e-5


def encode_each_kind(
    encoder: Encoder, images: list[Image.Image], texts: list[str], batch_size: int
) -> dict[str, Tensor]:
    encode = {
        "text": lambda: encoder.encode_texts(texts, batch_size=batch_size),
        "image": lambda: encoder.encode_images(images, batch_size=batch_size),
        "pair": lambda: encoder.encode_pairs(images, texts, batch_size=batch_size),
    }
    return {kind: encode[kind]() for kind in sorted(encoder.inputs)}


@pytest.mark.parametrize("family", tiny_models.BUILDERS)
def test_embeddings_do_not_depend_on_the_batch_or_the_order(
    family: str, tiny_encoder: TinyEncoder, images: list[Image.Image], texts: list[str]
) -> None:
    encoder = tiny_encoder(family)
    alone = encode_each_kind(encoder, images, texts, batch_size=1)
    together = encode_each_kind(encoder, images[::-1], texts[::-1], batch_size=4)
    for kind, embeddings in alone.items():
        assert embeddings.shape == (4, encoder.dim) and embeddings.dtype == torch.float32
        assert embeddings.isfinite().all()
        torch.testing.assert_close(together[kind].flip(0), embeddings, atol=ROUNDING, rtol=0)
        # Different inputs stay apart by much more than rounding, so the comparison above means something.
        assert torch.cdist(embeddings, embeddings).fill_diagonal_(1).min() > 100 * ROUNDING


@pytest.mark.parametrize("family", tiny_models.BUILDERS)
def test_an_embedding_depends_on_the_first_and_on_the_last_word(family: str, tiny_encoder: TinyEncoder) -> None:
    texts = ["one photo of an apple", "two photo of an apple", "one photo of an orange"]
    embeddings = tiny_encoder(family).encode_texts(texts)
    assert torch.cdist(embeddings, embeddings).fill_diagonal_(1).min() > 100 * ROUNDING


@pytest.mark.parametrize("family", tiny_models.MULTIMODAL)
def test_a_multimodal_pair_depends_on_its_image_and_on_its_text(
    family: str, tiny_encoder: TinyEncoder, images: list[Image.Image]
) -> None:
    encoder = tiny_encoder(family)
    pairs = encoder.encode_pairs([images[0], images[1], images[0]], ["dog", "dog", "cat"])
    assert (pairs[0] - pairs[1]).abs().max() > 100 * ROUNDING
    assert (pairs[0] - pairs[2]).abs().max() > 100 * ROUNDING


@pytest.mark.parametrize("family", tiny_models.BUILDERS)
def test_no_inputs_give_no_rows(family: str, tiny_encoder: TinyEncoder) -> None:
    encoder = tiny_encoder(family)
    for kind, embeddings in encode_each_kind(encoder, [], [], batch_size=8).items():
        assert embeddings.shape == (0, encoder.dim), kind


@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3", "llava", "llama"])
@pytest.mark.parametrize("pooling", ["last", "mean", "eos"])
def test_left_and_right_padding_agree(
    family: str, pooling: str, tiny_model: TinyModel, images: list[Image.Image], texts: list[str]
) -> None:
    encoder = load_encoder(tiny_model(family), pooling=pooling)
    right = encode_each_kind(encoder, images, texts, batch_size=4)
    pad_on_the_left(encoder)
    left = encode_each_kind(encoder, images, texts, batch_size=4)
    for kind, embeddings in right.items():
        torch.testing.assert_close(left[kind], embeddings, atol=ROUNDING, rtol=0)


def pad_on_the_left(encoder: Encoder) -> None:
    if (processor := getattr(encoder, "processor", None)) is None:
        encoder.tokenizer.padding_side = "left"  # type: ignore[attr-defined]
        return
    encoder.processor = lambda **arguments: processor(**arguments | {"padding_side": "left"})  # type: ignore[attr-defined]
    for name in ("tokenizer", "chat_template"):
        setattr(encoder.processor, name, getattr(processor, name))  # type: ignore[attr-defined]


def test_qwen_embeds_images_as_its_model_does_by_hand(tiny_model: TinyModel, images: list[Image.Image]) -> None:
    """The placeholder is repeated once per merged patch, and the last token's hidden state is the embedding."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    folder = tiny_model("qwen2_vl")
    model = AutoModelForImageTextToText.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=images[:1], return_tensors="pt")
    patches = int(pixels["image_grid_thw"].prod()) // 4
    turn = (
        f"<|im_start|>user\n<|vision_start|>{'<|image_pad|>' * patches}<|vision_end|>\n"
        "Summarize the above image in one word: <|im_end|>\n<|im_start|>assistant\n"
    )
    tokens = tokenizer(turn, return_tensors="pt")
    kinds = (tokens["input_ids"] == model.config.image_token_id).int()
    with torch.no_grad():
        hidden = model.model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], mm_token_type_ids=kinds, **pixels
        ).last_hidden_state
    embeddings = load_encoder(folder).encode_images(images[:1])
    torch.testing.assert_close(embeddings, hidden[:, -1], atol=ROUNDING, rtol=0)


def test_clip_features_are_those_of_the_model(tiny_model: TinyModel, images: list[Image.Image]) -> None:
    from transformers import CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tiny_model("clip")
    encoder = load_encoder(folder)
    model = CLIPModel.from_pretrained(folder)
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(images=images, return_tensors="pt")
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(**pixels).pooler_output)
    torch.testing.assert_close(encoder.encode_images(images), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("family", tiny_models.DUAL_ENCODERS)
def test_a_dual_encoders_pair_is_the_sum_of_its_normalised_features(
    family: str, tiny_encoder: TinyEncoder, images: list[Image.Image], texts: list[str]
) -> None:
    encoder = tiny_encoder(family)
    expected = normalize(encoder.encode_images(images)) + normalize(encoder.encode_texts(texts))
    torch.testing.assert_close(encoder.encode_pairs(images, texts), expected, atol=ROUNDING, rtol=0)


def test_siglip_texts_are_padded_to_the_towers_length(tiny_encoder: TinyEncoder) -> None:
    """SigLIP pools the last position: without the padding it was trained with, another vector comes out."""
    encoder = tiny_encoder("siglip")
    ids = encoder.tokenizer(["dog"], padding="max_length", max_length=16, return_tensors="pt")["input_ids"]  # type: ignore[attr-defined]
    with torch.no_grad():
        expected = encoder.backbone.model.get_text_features(input_ids=ids).pooler_output  # type: ignore[attr-defined]
    torch.testing.assert_close(encoder.encode_texts(["dog"]), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("family", SIGHTED)
def test_files_bytes_and_decoded_images_embed_alike(
    family: str, tiny_encoder: TinyEncoder, images: list[Image.Image], tmp_path: Path
) -> None:
    images[0].save(tmp_path / "a.png")
    forms = [images[0], tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()]
    embeddings = tiny_encoder(family).encode_images(forms)
    torch.testing.assert_close(embeddings, embeddings[:1].expand(4, -1), atol=ROUNDING, rtol=0)


def test_prompts_and_poolings_change_the_embedding(tiny_model: TinyModel, images: list[Image.Image]) -> None:
    folder = tiny_model("qwen2_vl")
    settings = [{"prompt": prompt} for prompt in ("summary", "e5v", "", "Describe {} briefly", "Name the main thing: ")]
    settings += [{"pooling": pooling} for pooling in ("mean", "eos")]
    encoders = [load_encoder(folder, **setting) for setting in settings]
    embeddings = torch.cat([encoder.encode_images(images[:1]) for encoder in encoders])
    assert len({tuple(row) for row in embeddings.tolist()}) == len(settings)
    assert len({tuple(sorted(encoder.describe().items())) for encoder in encoders}) == len(settings)


def test_a_base_model_without_a_chat_template_is_given_the_content_alone(
    tiny_model: TinyModel, images: list[Image.Image]
) -> None:
    encoder = load_encoder(tiny_model("llava"), prompt="Say: {} now")
    encoder.processor.chat_template = None  # type: ignore[attr-defined]
    assert encoder._conversation(has_image=True, text=None) == "Say: <image> now"  # type: ignore[attr-defined]
    assert encoder.encode_images(images).shape == (4, 32)


@pytest.mark.parametrize("family", ["bert", "llama", "clip", "qwen2_vl"])
def test_a_text_beyond_the_limit_loses_its_end_and_keeps_its_prompt(family: str, tiny_model: TinyModel) -> None:
    encoder = load_encoder(tiny_model(family), prompt=None if family == "clip" else "query: {}")
    long = "two dogs run in the park " * 300
    rows = encoder.encode_texts([long, long + "and a cat", long[:-1000]], batch_size=2)
    torch.testing.assert_close(rows, rows[:1].expand(3, -1), atol=ROUNDING, rtol=0)


def test_mixed_precision_keeps_float32_weights_and_stays_close(tiny_model: TinyModel, texts: list[str]) -> None:
    exact = load_encoder(tiny_model("llama")).encode_texts(texts)
    encoder = load_encoder(tiny_model("llama"), dtype="bfloat16")
    assert encoder.backbone.model.dtype == torch.float32  # type: ignore[attr-defined]
    assert encoder.describe()["dtype"] == "bfloat16"
    rounded = encoder.encode_texts(texts)
    assert rounded.dtype == torch.float32
    difference = (rounded - exact).abs().max()
    # bfloat16 keeps 8 bits: visible, and small next to embeddings of unit scale.
    assert 1e-5 < difference < 0.1


def test_half_precision_weights_run_as_they_are_or_in_float32(
    tiny_model: TinyModel, texts: list[str], tmp_path: Path
) -> None:
    import shutil

    from transformers import AutoModel

    folder = tmp_path / "half"
    shutil.copytree(tiny_model("bert"), folder)
    AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    assert load_encoder(folder, device="cpu").describe()["dtype"] == "float32"
    encoder = load_encoder(folder, dtype=torch.bfloat16, device="cpu")
    assert encoder.backbone.model.dtype == torch.bfloat16  # type: ignore[attr-defined]
    assert encoder.encode_texts(texts).dtype == torch.float32


@pytest.mark.parametrize("family", SIGHTED)
def test_images_are_processed_by_pillow_whether_or_not_torchvision_is_there(
    family: str, tiny_encoder: TinyEncoder
) -> None:
    encoder = tiny_encoder(family)
    image_processor = getattr(encoder, "processor", encoder).image_processor  # type: ignore[attr-defined]
    assert type(image_processor).__name__.endswith("Pil")
