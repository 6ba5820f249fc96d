"""fastret mine: files in, a file out, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from models import FakeCrossEncoder, FakeEncoder, vector

import fastret.embed
from fastret.cli import app
from fastret.mining import mine_dataset

Run = Callable[..., tuple[int, str, str]]
QUIET = {"verbose": False, "progress": False}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`fastret mine` in this process, where every model is a `FakeEncoder`: (exit code, stdout, stderr)."""
    monkeypatch.setattr(fastret.embed, "load_encoder", lambda name, **_: FakeEncoder())

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fastret", "mine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run_main


@pytest.fixture
def files(pairs: datasets.Dataset, corpus: list[str], tmp_path: Path) -> Path:
    lines = [json.dumps(row) for row in pairs]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    pairs.to_parquet(str(tmp_path / "pairs.parquet"))
    (tmp_path / "corpus.txt").write_text("\n".join(corpus))
    for side, name in (("queries", "question"), ("documents", "answer")):
        np.save(tmp_path / f"{side}.npy", torch.stack([vector(text) for text in pairs[name]]).numpy())
    return tmp_path


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_pairs_from_either_file_are_mined(run: Run, files: Path, pairs: datasets.Dataset) -> None:
    expected = list(mine_dataset(pairs, FakeEncoder(), relative_margin=0.05, output_scores=True, **QUIET))
    out = files / "mined.jsonl"
    for name in ("pairs.jsonl", "pairs.parquet"):
        code, told, _ = run("--data", files / name, "--model", "m", "--out", out, "--relative-margin", 0.05, "--scores")
        assert code == 0 and rows(out) == expected
        assert told.startswith(f"{out}: {len(expected)} rows: 32 queries with")
        out.unlink()
    options = ("--query-embeddings", files / "queries.npy", "--corpus-embeddings", files / "documents.npy")
    assert run("--data", files / "pairs.jsonl", *options, "--preset", "topk-percpos", "--scores", "--out", out)[0] == 0
    assert rows(out) == expected


def test_options_go_before_those_of_the_preset(run: Run, files: Path, pairs, corpus) -> None:
    out = files / "mined.jsonl"
    code, told, _ = run(
        "--data", files / "pairs.jsonl", "--model", "m", "--out", out, "--corpus", files / "corpus.txt", "--preset",
        "unime", "--num-negatives", 2, "--format", "labeled-list", "--sampling-strategy", "random", "--seed", 3,
        "--json",
    )  # fmt: skip
    expected = mine_dataset(
        pairs, FakeEncoder(), corpus=corpus, absolute_margin=-0.1, num_negatives=2, output_format="labeled-list",
        sampling_strategy="random", seed=3, **QUIET,
    )  # fmt: skip
    assert code == 0 and rows(out) == list(expected)
    assert json.loads(told)["rows"] == len(expected) and json.loads(told)["out"] == str(out)


def test_a_cross_encoder_is_loaded_by_name(run: Run, files: Path, pairs, monkeypatch) -> None:
    monkeypatch.setattr("sentence_transformers.CrossEncoder", lambda name: FakeCrossEncoder())
    out = files / "mined.jsonl"
    assert run("--data", files / "pairs.jsonl", "--model", "m", "--cross-encoder", "judge", "--out", out)[0] == 0
    assert rows(out) == list(mine_dataset(pairs, FakeEncoder(), cross_encoder=FakeCrossEncoder(), **QUIET))


def test_a_data_set_of_a_task_is_mined(run: Run, tmp_path: Path) -> None:
    for name, number in (("corpus", 20), ("queries", 6)):
        lines = [json.dumps({"_id": f"{name}{i}", "text": f"{name} text {i}"}) for i in range(number)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "qrels").mkdir()
    judged = [f"queries{i}\tcorpus{i * 2 + j}\t{1 - j}" for i in range(5) for j in range(2)]
    (tmp_path / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    out = tmp_path / "mined.jsonl"
    code, _, err = run("--data", tmp_path, "--task", "t2t", "--model", "m", "--out", out, "--format", "labeled-list")
    assert (code, err.count("Error")) == (0, 0)
    mined = rows(out)
    assert [(row["anchor"], row["positive"][0]) for row in mined] == [  # type: ignore[index]
        (f"queries text {i}", f"corpus text {i * 2}") for i in range(5)
    ]
    assert all(row["labels"] == [1, 0, 0, 0] for row in mined)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--preset", "best"], 2, "must be one of naive-topk"),
        (["--task", "t2t", "--corpus", "corpus.txt"], 2, "has its own corpus"),
        (["--num-negatives", "0"], 2, "num-negatives"),
        (["--range-max", "2"], 1, "range_max - range_min must be at least num_negatives, got 2 - 0 and 3"),
        (["--anchor-column-name", "query"], 1, "anchor_column_name must be one of question, answer, got 'query'"),
    ],
)
def test_bad_usage_exits_with_2_and_bad_data_with_1(
    run: Run, files: Path, arguments: list[str], code: int, sentence: str
) -> None:
    given = run("--data", files / "pairs.jsonl", "--model", "m", "--out", files / "mined.parquet", *arguments)
    assert given[0] == code and sentence in " ".join(given[2].replace("│", " ").split())


def test_lines_must_have_the_same_columns(run: Run, files: Path) -> None:
    (files / "pairs.jsonl").write_text('{"a": "x", "b": "y"}\n{"a": "x"}')
    code, _, err = run("--data", files / "pairs.jsonl", "--model", "m", "--out", files / "mined.jsonl")
    assert code == 1 and "pairs.jsonl line 2: must have the columns a, b, got ['a']" in err
