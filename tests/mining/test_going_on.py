"""A run that was stopped at any moment goes on, and ends in the file of one that was not."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from models import FakeCrossEncoder, FakeEncoder

from fastret.mining import MiningSummary, mine_dataset

SIX_BLOCKS: dict[str, Any] = {"faiss_batch_size": 6, "verbose": False, "progress": False, "output_scores": True}


class Stopped(BaseException):
    """As a kill: no handler of errors sees it."""


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_stopped_at_any_write_it_goes_on(
    pairs: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    whole = tmp_path / f"whole{suffix}"
    summary = mine_dataset(pairs, FakeEncoder(), out=whole, **SIX_BLOCKS)
    writes = 0

    def count(_: int) -> None:
        nonlocal writes
        writes += 1
        if writes == stop_at:
            raise Stopped

    monkeypatch.setattr(os, "fsync", count)
    stop_at, stops, ended = 1, 0, False
    while not ended:
        out, writes = tmp_path / f"stopped{stop_at}{suffix}", 0
        try:
            mine_dataset(pairs, FakeEncoder(), out=out, **SIX_BLOCKS)
            ended = True
        except Stopped:
            stops += 1
            written, writes = stop_at, stop_at + 1
            assert not out.exists() or written > 20  # the last flush is after the file has its name
            assert mine_dataset(pairs, FakeEncoder(), out=out, **SIX_BLOCKS) == summary
        assert out.read_bytes() == whole.read_bytes()
        assert {file.name for file in tmp_path.iterdir()} == {whole.name, out.name}
        out.unlink()
        stop_at += 1
    assert stops > 20


def test_blocks_that_are_done_are_not_mined_again(pairs: datasets.Dataset, tmp_path: Path) -> None:
    asked = []

    class StopsInTheThirdBlock(FakeCrossEncoder):
        def predict(self, pairs: list[tuple[str, str]], **options: Any) -> Any:
            asked.append({query for query, _ in pairs})
            if len(asked) == 5:
                raise Stopped
            return super().predict(pairs, **options)

    options = {**SIX_BLOCKS, "cross_encoder": StopsInTheThirdBlock(), "out": tmp_path / "mined.jsonl"}
    first, second = FakeEncoder(), FakeEncoder()
    with pytest.raises(Stopped):
        mine_dataset(pairs, first, **options)
    done = asked[0] | asked[2]
    asked[:] = [set()] * 5
    mine_dataset(pairs, second, **options)
    assert done and not done & set().union(*asked)
    assert first.embedded and not second.embedded


def test_another_run_is_refused(pairs: datasets.Dataset, tmp_path: Path) -> None:
    def stop(pairs: object) -> None:
        raise Stopped

    options = {**SIX_BLOCKS, "cross_encoder": stop, "out": tmp_path / "mined.parquet"}
    with pytest.raises(Stopped):
        mine_dataset(pairs, FakeEncoder(), **options)
    for changes, what in (
        ({"num_negatives": 5}, "num_negatives"),
        ({"relative_margin": 0.05}, "relative_margin"),
        ({"dataset": pairs.select(range(30))}, "dataset or corpus"),
        ({"query_prompt": "ask: "}, "model or embeddings of queries"),
        ({"cross_encoder": FakeCrossEncoder()}, "cross_encoder"),
        ({"faiss_batch_size": 7}, "faiss_batch_size"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"begun with another {what}; finish that run")):
            mine_dataset(**({"dataset": pairs, "model": FakeEncoder(), **options} | changes))


def test_what_a_finished_run_left_behind_is_not_taken_for_the_next(pairs: datasets.Dataset, tmp_path: Path) -> None:
    """Killed while it removed its folder, with the plan gone first."""
    expected, out = tmp_path / "expected.jsonl", tmp_path / "mined.jsonl"
    mine_dataset(pairs, FakeEncoder(), num_negatives=2, out=expected, **SIX_BLOCKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda folder, **_: (folder / "plan.json").unlink(missing_ok=True))
        mine_dataset(pairs, FakeEncoder(), num_negatives=5, out=out, **SIX_BLOCKS)
    assert list((tmp_path / "mined.jsonl.mining").glob("block-*"))
    mine_dataset(pairs, FakeEncoder(), num_negatives=2, out=out, **SIX_BLOCKS)
    assert out.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("output_format", ["triplet", "n-tuple", "labeled-pair", "labeled-list"])
def test_files_hold_what_is_returned_without_one(
    pairs: datasets.Dataset, tmp_path: Path, output_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {**SIX_BLOCKS, "output_format": output_format}
    expected = mine_dataset(pairs, FakeEncoder(), **options)
    for kind, suffix in (("parquet", "parquet"), ("json", "jsonl")):
        file = tmp_path / f"mined.{suffix}"
        summary = mine_dataset(pairs, FakeEncoder(), out=file, **options | {"verbose": True})
        loaded = datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == list(expected) and loaded.column_names == expected.column_names
        assert isinstance(summary, MiningSummary) and summary.rows == len(loaded)
        assert f"mine_dataset: {summary}" in capsys.readouterr().err
    assert loaded.features == expected.features
    assert json.loads(file.read_text().splitlines()[0]) == expected[0]


def test_a_summary_counts(pairs: datasets.Dataset, tmp_path: Path) -> None:
    mined = mine_dataset(pairs, FakeEncoder(), output_format="labeled-pair", min_score=0.5, **SIX_BLOCKS)
    options = {**SIX_BLOCKS, "output_format": "labeled-pair", "min_score": 0.5}
    summary = mine_dataset(pairs, FakeEncoder(), out=tmp_path / "mined.parquet", **options)
    assert summary.queries == len(set(pairs["question"]))
    assert summary.rows == summary.positives + summary.negatives == len(mined)
    assert summary.positives == len(set(zip(pairs["question"], pairs["answer"], strict=True)))
    assert 0 < summary.queries_short_of_negatives < summary.queries
    assert summary.mean_negative_score >= 0.5
    assert "too few negatives were within the limits for" in str(summary)


def test_json_lines_have_no_room_for_images(tmp_path: Path) -> None:
    rows = {"Image": ["query 1"], "picture": [b"..."]}
    embeddings = {"query_embeddings": torch.ones(1, 2), "corpus_embeddings": torch.ones(1, 2)}
    with pytest.raises(ValueError, match=re.escape("images need a .parquet file, got mined.jsonl")):
        mine_dataset(rows, out=tmp_path / "mined.jsonl", **embeddings)
