"""Real weights that come as Python packages: a sentence encoder, and a language model in a GGUF file."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import normalize

from fastret.embed import Encoder, load_encoder
from fastret.embed.sources import find_source

# Each line: a sentence, one that means nearly the same in other words, and one about something else.
TRIPLES = [
    ("a cat sits on the mat", "a kitten rests on a rug", "share prices fell sharply today"),
    ("how do I reset my password", "I forgot my login and want a new one", "the train leaves at noon"),
    ("the recipe needs two eggs", "crack a pair of eggs into the bowl", "the senate passed the bill"),
    ("it will rain tomorrow", "showers are forecast for the next day", "he plays the violin well"),
]


@pytest.fixture(scope="module")
def pretrained() -> Callable[[str], Encoder]:
    settings = {"minilm": {}, "smollm2": {"prompt": "summary"}}
    return functools.cache(lambda name: load_encoder(name, **settings[name]))


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_related_sentences_score_above_unrelated_ones(name: str, pretrained: Callable[[str], Encoder]) -> None:
    columns = [normalize(pretrained(name).encode_texts(column)) for column in zip(*TRIPLES, strict=True)]
    related = (columns[0] * columns[1]).sum(1)
    unrelated = (columns[0] * columns[2]).sum(1)
    assert (related > unrelated).all(), (related, unrelated)


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_real_weights_do_not_depend_on_the_batch(name: str, pretrained: Callable[[str], Encoder]) -> None:
    encoder = pretrained(name)
    texts = [text for triple in TRIPLES[:2] for text in triple]
    alone, together = encoder.encode_texts(texts, batch_size=1), encoder.encode_texts(texts, batch_size=6)
    # Float32 rounding over dozens of layers, relative to the largest entry.
    assert (alone - together).abs().max() < 1e-4 * alone.abs().max()


def test_minilm_agrees_with_sentence_transformers(pretrained: Callable[[str], Encoder]) -> None:
    """Its own library, on texts short and beyond its limit of 256 tokens; that one also normalises."""
    from sentence_transformers import SentenceTransformer

    texts = [text for triple in TRIPLES for text in triple] + ["the quick brown fox " * 200]
    theirs = SentenceTransformer(find_source("minilm").path, device="cpu").encode(texts)
    ours = normalize(pretrained("minilm").encode_texts(texts))
    torch.testing.assert_close(ours, torch.from_numpy(theirs), atol=1e-6, rtol=0)


def test_the_language_model_pools_its_last_token_unless_told_otherwise(pretrained: Callable[[str], Encoder]) -> None:
    facts = pretrained("smollm2").describe()
    assert facts["model"] == "smollm2" and facts["family"] == "llama"
    assert facts["pooling"] == "last" and facts["prompt"] == "summary" and facts["dtype"] == "float32"
    assert pretrained("smollm2").dim == 576
    assert pretrained("minilm").describe()["pooling"] == "mean" and pretrained("minilm").dim == 384
