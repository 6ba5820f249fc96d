"""What sentence-transformers' function does not have: sources of embeddings, files, images, a query's own document."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from models import FakeCrossEncoder, FakeEncoder, FakeSentenceTransformer, vector
from PIL import Image

from fastret import FlatIndex
from fastret.embed.store import write_store
from fastret.mining import candidates, mine_dataset

QUIET: dict[str, Any] = {"verbose": False, "progress": False}


@pytest.fixture
def expected(pairs: datasets.Dataset) -> list[dict[str, Any]]:
    return list(mine_dataset(pairs, FakeEncoder(), output_scores=True, **QUIET))


def vectors(texts: list[str]) -> torch.Tensor:
    return torch.stack([vector(text) for text in texts])


def test_every_source_of_embeddings_gives_the_same(
    pairs: datasets.Dataset, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows = {name: list(pairs[name]) for name in pairs.column_names}
    ids = [str(row) for row in range(len(pairs))]
    for side, texts in rows.items():
        write_store(tmp_path / side, FakeEncoder(), ids, texts=texts, shard_rows=7, progress=False)
    for queries, documents in (
        (vectors(rows["question"]), vectors(rows["answer"])),
        (vectors(rows["question"]).numpy(), vectors(rows["answer"]).numpy()),
        (tmp_path / "question", str(tmp_path / "answer")),
    ):
        mined = mine_dataset(rows, query_embeddings=queries, corpus_embeddings=documents, output_scores=True, **QUIET)
        assert list(mined) == expected
    assert list(mine_dataset(rows, FakeSentenceTransformer(), output_scores=True, **QUIET)) == expected


def test_a_corpus_may_be_an_index_in_a_file(
    pairs: datasets.Dataset, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    corpus = list(dict.fromkeys(pairs["answer"]))
    index = FlatIndex(8, "cosine")
    index.add(vectors(corpus))
    index.save(tmp_path / "index")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=300, progress=False)
    mined = mine_dataset(pairs, FakeEncoder(), corpus=corpus, corpus_embeddings=mapped, output_scores=True, **QUIET)
    assert list(mined) == expected


def test_queries_and_documents_may_have_models_of_their_own(pairs: datasets.Dataset) -> None:
    one, other = FakeEncoder(), FakeEncoder()
    mine_dataset(pairs, one, corpus_model=other, query_prompt="ask: ", corpus_prompt="read: ", **QUIET)
    assert set(one.embedded) == {f"ask: {text}" for text in pairs["question"]}
    assert set(other.embedded) == {f"read: {text}" for text in pairs["answer"]}


def test_a_model_may_be_a_name(pairs: datasets.Dataset, expected: list[dict[str, Any]], monkeypatch) -> None:
    monkeypatch.setattr("fastret.mining.sides.load_encoder", {"my-model": FakeEncoder()}.get)
    assert list(mine_dataset(pairs, "my-model", output_scores=True, **QUIET)) == expected


def test_kept_embeddings_are_not_made_again(
    pairs: datasets.Dataset, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    for wanted in (True, False):
        model = FakeSentenceTransformer()
        mined = mine_dataset(pairs, model, output_scores=True, cache_folder=tmp_path, **QUIET)
        assert list(mined) == expected and bool(model.embedded) == wanted


def test_a_model_in_training_is_embedded_again(pairs: datasets.Dataset, tmp_path: Path) -> None:
    model = FakeSentenceTransformer()
    model.weight = torch.nn.Parameter(torch.ones(3))
    for weight in (1.0, 2.0):
        model.weight.data.fill_(weight)
        model.embedded.clear()
        mine_dataset(pairs, model, cache_folder=tmp_path, **QUIET)
        assert model.embedded


def test_any_function_scores_pairs_again_by_batches(pairs: datasets.Dataset) -> None:
    sizes = []

    def judge(batch: list[tuple[str, str]]) -> list[float]:
        sizes.append(len(batch))
        return FakeCrossEncoder().predict(batch).tolist()

    options: dict[str, Any] = {"output_scores": True, "absolute_margin": 0.1, **QUIET}
    mined = mine_dataset(pairs, FakeEncoder(), cross_encoder=judge, batch_size=16, **options)
    assert list(mined) == list(mine_dataset(pairs, FakeEncoder(), cross_encoder=FakeCrossEncoder(), **options))
    assert max(sizes) == 16


def test_scores_again_also_without_limits(pairs: datasets.Dataset) -> None:
    mined = mine_dataset(pairs, FakeEncoder(), cross_encoder=FakeCrossEncoder(), output_scores=True, **QUIET)
    for row in mined:
        asked = [(row["question"], row["answer"]), (row["question"], row["negative"])]
        assert row["scores"] == FakeCrossEncoder().predict(asked).tolist()


def test_a_query_need_not_find_itself() -> None:
    texts = [f"text {number}" for number in range(12)]
    near = {"anchor": texts, "positive": texts[1:] + texts[:1]}
    found = mine_dataset(near, FakeEncoder(), num_negatives=11, range_max=50, **QUIET)
    assert any(row["negative"] == row["anchor"] for row in found)
    others = mine_dataset(near, FakeEncoder(), num_negatives=11, range_max=50, exclude_self=True, **QUIET)
    assert [row for row in found if row["negative"] != row["anchor"]] == list(others)


def test_random_samples_depend_on_the_seed_and_not_on_blocks(pairs: datasets.Dataset) -> None:
    options: dict[str, Any] = {"sampling_strategy": "random", "range_max": 20, **QUIET}
    mined = [
        list(mine_dataset(pairs, FakeEncoder(), seed=seed, faiss_batch_size=block, **options))
        for seed, block in ((0, 1024), (0, 7), (1, 1024))
    ]
    assert mined[0] == mined[1] != mined[2]


def test_looking_at_the_whole_corpus_is_done_in_parts(pairs: datasets.Dataset, corpus, monkeypatch) -> None:
    options: dict[str, Any] = {"max_score": -0.3, "corpus": corpus, **QUIET}
    whole = list(mine_dataset(pairs, FakeEncoder(), **options))
    monkeypatch.setattr(candidates, "_MOST_CANDIDATES", 100)
    monkeypatch.setattr(candidates, "_MOST_PAIRS", 5)
    widths = []
    search = FlatIndex.search

    def watched(index: FlatIndex, queries: torch.Tensor, k: int, **options: Any) -> Any:
        widths.append(len(queries) * k)
        return search(index, queries, k, **options)

    monkeypatch.setattr(FlatIndex, "search", watched)
    assert list(mine_dataset(pairs, FakeEncoder(), **options)) == whole
    assert max(widths) <= 100


def test_images_are_loaded_again_as_images(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((4, 4 + i % 5, 3), 40 * (i % 5), np.uint8)) for i in range(10)]
    file = tmp_path / "picture.png"
    pictures[0].save(file)
    content = io.BytesIO()
    pictures[1].save(content, "png")
    cells: list[Any] = [file, {"bytes": content.getvalue(), "path": None}, *pictures[2:]]
    mined = mine_dataset(
        {"caption": [f"caption {i}" for i in range(10)], "image": cells},
        query_embeddings=torch.eye(10),
        corpus_embeddings=torch.eye(10) + 0.1,
        out=tmp_path / "mined.parquet",
        **QUIET,
    )
    # Pictures 5 to 9 look like 0 to 4, but the first two of those came as files: equal content, not equal bytes.
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "mined.parquet"), split="train",
                                   cache_dir=str(tmp_path / "cache"))  # fmt: skip
    assert len(loaded) == mined.rows == 30
    assert isinstance(loaded.features["negative"], datasets.Image)
    # What was mined can be mined again: its images are read as files, of which equal ones are one document.
    again = mine_dataset(loaded, corpus_embeddings=torch.ones(30, 2), query_embeddings=torch.ones(30, 2), **QUIET)
    assert isinstance(again.features["negative"], datasets.Image) and len(again) > 0
    assert loaded[0]["image"].size == (4, 4) and {row["negative"].size for row in loaded} <= {
        (4 + i, 4) for i in range(5)
    }


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"num_negatives": 0}, ValueError, "num_negatives must be at least 1, got 0"),
        ({"num_negatives": 2.5}, TypeError, "num_negatives must be an int, got float"),
        ({"range_min": -1}, ValueError, "range_min must be at least 0, got -1"),
        (
            {"range_min": 3, "range_max": 5},
            ValueError,
            "range_max - range_min must be at least num_negatives, got 5 - 3",
        ),
        ({"max_score": float("nan")}, ValueError, "max_score must not be NaN"),
        ({"absolute_margin": "much"}, TypeError, "absolute_margin must be a number, got str"),
        ({"sampling_strategy": "best"}, ValueError, "sampling_strategy must be one of top, random, got 'best'"),
        ({"output_format": "csv"}, ValueError, "output_format must be one of triplet, n-tuple"),
        ({"metric": "l2"}, ValueError, "metric must be one of cosine, ip, got 'l2'"),
        ({"include_positives": True}, ValueError, 'include_positives needs output_format="n-tuple"'),
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer, got 0"),
        ({"faiss_batch_size": True}, ValueError, "faiss_batch_size must be a positive integer, got True"),
        ({"anchor_column_name": "query"}, ValueError, "anchor_column_name must be one of a, b, got 'query'"),
        (
            {"dataset": {"a": ["x"]}},
            ValueError,
            "dataset must have a column of queries and one of positives, got ['a']",
        ),
        ({"positive_column_name": "a"}, ValueError, "queries and positives must be two columns, got 'a' for both"),
        ({"dataset": {"a": [], "b": []}}, ValueError, "dataset must have at least one row, got none"),
        ({"dataset": {"a": ["x 1"], "b": [" "]}}, ValueError, "row 0 of 'b' is an empty text"),
        ({"dataset": {"a": ["x 1"], "b": [None]}}, TypeError, "row 0 of 'b' must be a text or an image, got NoneType"),
        ({"dataset": {"a": ["x 1"], "b": ["y 1", "y 2"]}}, ValueError, "columns must be equally long, got 1 and 2"),
        ({"dataset": {"a": ["x 1"], "negative": ["y 1"]}}, ValueError, "the result has a column called 'negative'"),
        ({"corpus": [b"..."]}, ValueError, "a column must have texts or images throughout, got both"),
        ({"model": None}, ValueError, "give a model, or query_embeddings and corpus_embeddings"),
        ({"query_embeddings": torch.ones(3, 8)}, ValueError, "query_embeddings must have an embedding for each row of"),
        ({"query_embeddings": torch.ones(8)}, ValueError, "query_embeddings must be [n, D], got [8]"),
        ({"query_embeddings": torch.ones(2, 3)}, ValueError, "queries and documents must share D, got 3 and 8"),
        ({"query_embeddings": FlatIndex(8)}, TypeError, "query_embeddings must be an array or a store, got an index"),
        ({"corpus_embeddings": torch.ones(1, 8), "corpus": ["z 1"]}, ValueError, "it lacks that of row 1"),
        ({"query_prompt_name": "query"}, ValueError, "prompt names are those of a SentenceTransformer, got 'query'"),
        ({"cross_encoder": lambda pairs: [1.0]}, ValueError, "cross_encoder must give one score for each of 2 pairs"),
        ({"cross_encoder": lambda pairs: [float("nan")] * len(pairs)}, ValueError, "must give numbers, got NaN"),
        ({"out": "mined.csv"}, ValueError, "out must end in .parquet or .jsonl, got mined.csv"),
    ],
)
def test_bad_input_is_one_sentence(changes: dict[str, Any], error: type[Exception], sentence: str) -> None:
    arguments: dict[str, Any] = {"dataset": {"a": ["x 1", "x 2"], "b": ["y 1", "y 2"]}, "model": FakeEncoder(), **QUIET}
    with pytest.raises(error, match=re.escape(sentence)):
        mine_dataset(**(arguments | changes))


def test_an_index_must_hold_the_documents(pairs: datasets.Dataset) -> None:
    index = FlatIndex(8)
    index.add(torch.ones(60, 8))
    with pytest.raises(ValueError, match="metric must be that of the index, 'ip', got 'cosine'"):
        mine_dataset(pairs, FakeEncoder(), corpus_embeddings=index, **QUIET)
    with pytest.raises(ValueError, match="an index needs documents that all differ"):
        mine_dataset(pairs, FakeEncoder(), corpus_embeddings=index, metric="ip", **QUIET)
