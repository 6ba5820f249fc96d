"""fastret evaluate: the table, the files, the JSON object and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import fastret.embed
from fastret.cli import evaluate as command


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)  # keeps `evaluate` a command of its own
    command.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def vectors(tmp_path):
    folder = tmp_path / "vectors"
    folder.mkdir()
    rng = np.random.default_rng(0)
    candidates = rng.standard_normal((40, 8)).astype(np.float32)
    np.save(folder / "candidates.npy", candidates)
    np.save(folder / "queries.npy", candidates + 0.3 * rng.standard_normal((40, 8)).astype(np.float32))
    return folder


@pytest.fixture
def loaded(monkeypatch, colour_encoder):
    """What load_encoder was asked for; it answers with an encoder, one that retrieves wrongly for the name "bad".

    A name that begins with "dual" is that of a dual encoder.
    """
    calls = []

    def load_encoder(name, **options):
        calls.append((name, options))
        return colour_encoder(name, shift=int(name == "bad"))

    def model_kind(name):
        if name == "missing":
            raise OSError("load_encoder: there is no model at missing")
        return "dual" if name.startswith("dual") else "text" if name == "texts" else "multimodal"

    monkeypatch.setattr(fastret.embed, "load_encoder", load_encoder)
    monkeypatch.setattr(fastret.embed.loading, "model_kind", model_kind)
    return calls


def test_two_models_two_tasks_and_the_files(run, loaded, colour_folder, tmp_path):
    out = tmp_path / "runs" / "first"
    result = run(
        "--data", colour_folder, "--model", "good", "--model", "bad", "--task", "t2i", "--task", "i2t", "--out", out,
        "--k", 1, "--k", 3, "--pooling", "mean", "--prompt", "in one word:", "--dtype", "float32", "--device", "cpu",
        "--batch-size", 4,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    options = {"pooling": "mean", "prompt": "in one word:", "dtype": "float32", "device": "cpu"}
    assert loaded == [("good", options), ("bad", options)]
    for word in ("good", "bad", "recall@3", "difference", "squares, t2i: 12 queries, 6 candidates", "results.json"):
        assert word in result.stdout, word
    results = json.loads((out / "results.json").read_text())
    assert [(e["model"], e["task"], e["ks"]) for e in results["evaluations"]] == [
        ("good", "t2i", [1, 3]), ("bad", "t2i", [1, 3]), ("good", "i2t", [1, 3]), ("bad", "i2t", [1, 3]),
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "runs").iterdir()) == [
        "bad.i2t.trec", "bad.t2i.trec", "good.i2t.trec", "good.t2i.trec",
    ]  # fmt: skip


def test_every_model_is_looked_at_before_the_first_is_loaded(run, loaded, colour_folder):
    for second, error, sentence in (
        ("missing", OSError, "load_encoder: there is no model at missing"),
        ("texts", ValueError, "the task needs a model that takes images (item 'images/red.png'), got texts"),
    ):
        result = run("--data", colour_folder, "--model", "good", "--model", second, "--task", "t2i")
        assert isinstance(result.exception, error) and sentence in str(result.exception)
        assert loaded == []


def test_pooling_and_prompt_go_to_the_models_that_take_them(run, loaded, colour_folder):
    def options(*arguments):
        loaded.clear()
        result = run("--data", colour_folder, "--task", "t2i", "--pooling", "mean", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout, {name: (given.get("pooling"), given.get("prompt")) for name, given in loaded}

    dual, both = ("--model", "dual"), ("--model", "dual", "--model", "good")
    output, taken = options(*both, "--prompt", "summary")
    assert taken == {"dual": (None, None), "good": ("mean", "summary")}
    assert "dual is a dual encoder; left out for it: pooling, prompt\n" in output
    output, taken = options(*both, "--prompt", "a photo of {}")  # a template is no instruction
    assert taken == {"dual": (None, "a photo of {}"), "good": ("mean", "a photo of {}")}
    # Where no model takes them, load_encoder is to say so.
    output, taken = options(*dual, "--prompt", "summary")
    assert taken == {"dual": ("mean", "summary")} and "left out" not in output


def test_a_piped_table_has_every_value(run, loaded, colour_folder):
    cut_offs = [argument for k in range(1, 13) for argument in ("--k", k)]
    output = run("--data", colour_folder, "--model", "good", "--task", "i2t", *cut_offs).stdout
    heading = next(line for line in output.splitlines() if "recall@1" in line)
    row = next(line for line in output.splitlines() if "i2t" in line and "good" in line)
    assert "hit@12" in heading and len(row.split()) == 2 + 12 + 12 + 2


def test_json_is_all_of_stdout(run, loaded, colour_folder):
    result = run("--data", colour_folder, "--model", "good", "--task", "t2i", "--json")
    assert json.loads(result.stdout)["evaluations"][0]["metrics"]["recall@1"] == {"value": 1, "low": 1, "high": 1}


def test_skipped_records_are_shown_and_counted(run, loaded, colour_folder):
    with (colour_folder / "metadata.jsonl").open("a") as metadata:
        metadata.write('{"file_name": "images/gone.png", "text": "gone"}\n')
    arguments = ("--data", colour_folder, "--model", "good", "--task", "t2i")
    failed = run(*arguments)
    assert isinstance(failed.exception, ValueError) and "metadata.jsonl line 7, id 'images/gone.png'" in str(
        failed.exception
    )
    result = run(*arguments, "--skip-bad")
    assert result.exit_code == 0 and "squares, t2i: 1 record left out: image file not found" in result.stdout
    skipped = json.loads(run(*arguments, "--skip-bad", "--json").stdout)["evaluations"][0]["dataset"]["skipped"]
    assert skipped == {"image file not found": 1}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--task", "text2image"], "<queries>2<candidates>"),
        (["--k", "0"], "--k"),
        (["--metric", "dot"], "'dot' is not one of"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_bad_usage_exits_with_2(run, vectors, arguments, word):
    result = run("--data", vectors, *arguments)
    assert result.exit_code == 2
    assert word in " ".join(result.stderr.split())
    assert run().exit_code == 2  # --data is missing


def test_help_ends_with_examples(run):
    text = run("--help").stdout
    assert text.index("--skip-bad") < text.index("Examples") < text.index("fastret evaluate --data photos")


def test_plain_embeddings_through_a_process(vectors, tmp_path):
    """No terminal: no progress bars, no colours; the numbers are those of the API."""
    program = "import typer; from fastret.cli import evaluate; app = typer.Typer(); evaluate.register(app); app()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--data", vectors, "--metric", "ip", "--out", tmp_path / "out"],
        capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.stderr == ""
    assert "recall@10" in done.stdout and "\x1b" not in done.stdout
    study = fastret.evaluate.run_study(vectors, metric="ip")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    values = {name: entry["value"] for name, entry in results["evaluations"][0]["metrics"].items()}
    assert values == study.evaluations[0].metrics
