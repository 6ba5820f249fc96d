"""The command line as a process has it: exit codes, what is on stdout and what on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastret
from fastret.cli import app

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from fastret.cli.app import main
main()
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `fastret` in this process: (exit code, stdout, stderr)."""

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fastret", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run_main


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    for name in ("queries", "candidates"):
        np.save(tmp_path / f"{name}.npy", np.eye(4, dtype=np.float32))
    return tmp_path


def test_the_version_is_that_of_the_package(run):
    assert run("--version") == (0, f"fastret {fastret.__version__}\n", "")


def test_info_says_what_build_info_says(run):
    code, out, err = run("info", "--json")
    assert (code, json.loads(out), err) == (0, fastret.build_info(), "")
    code, out, _ = run("info")
    assert code == 0 and all(name in out for name in fastret.build_info())


def test_json_is_all_of_stdout(run, vectors):
    for arguments in (
        ("evaluate", "--data", vectors, "--json"),
        ("search", "--keys", vectors / "candidates.npy", "--queries", vectors / "queries.npy", "--json"),
    ):
        code, out, _ = run(*arguments)
        assert code == 0 and isinstance(json.loads(out), dict)


@pytest.mark.parametrize("arguments", [["no-such-command"], ["evaluate"], ["search", "--k", "0"], ["--no-such-option"]])
def test_bad_usage_exits_with_2(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and "Usage" in err


def test_a_failed_command_exits_with_1_and_one_sentence(run, tmp_path):
    missing = tmp_path / "missing"
    code, out, err = run("evaluate", "--data", missing)
    assert (code, out, err) == (1, "", f"fastret: {missing}: there is no such file or folder\n")


def test_debug_shows_the_traceback_wherever_it_stands(run, tmp_path):
    for arguments in (
        ("--debug", "evaluate", "--data", tmp_path / "missing"),
        ("evaluate", "--data", tmp_path / "missing", "--debug"),
    ):
        code, _, err = run(*arguments)
        assert code == 1 and err.startswith("Traceback") and err.splitlines()[-1].startswith("fastret: ")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (AssertionError("Torch not compiled with CUDA enabled"), "Torch not compiled with CUDA enabled"),
        (RuntimeError("two\n  lines"), "two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_torch_raises_becomes_a_sentence(run, monkeypatch, error, sentence):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(app, "app", fail)
    assert run("info") == (1, "", f"fastret: {sentence}\n")


def test_a_missing_package_is_named_with_what_installs_it(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a"}\n')
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "parquet").mkdir()
    (tmp_path / "parquet" / "test.parquet").write_bytes(b"")
    for blocked, data, models in (
        ("transformers", tmp_path, ["--model", tmp_path / "model"]),
        ("PIL", tmp_path, []),
        ("pyarrow", tmp_path / "parquet", []),
    ):
        program = BLOCK.format(blocked={blocked})
        done = subprocess.run(
            [sys.executable, "-c", program, "evaluate", "--task", "t2i", "--data", data, *models],
            capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"fastret: this command needs {blocked}; pip install 'fastret[mllm]'\n"
