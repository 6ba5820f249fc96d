"""`import faiss` gives fastret.faiss: by install(), and for programs that `python -m fastret.faiss` runs."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fastret.faiss as ours
from fastret.faiss import __main__ as runner

theirs = pytest.importorskip("faiss")


@pytest.fixture
def aliased() -> Iterator[None]:
    ours.install(force=True)
    yield
    ours.uninstall()


def test_install_refuses_where_faiss_was_imported() -> None:
    with pytest.raises(RuntimeError, match=r"install: faiss was imported before, from .*; call install earlier"):
        ours.install()
    assert sys.modules["faiss"] is theirs


def test_uninstall_brings_faiss_back() -> None:
    ours.install(force=True)
    ours.install()  # once is enough
    assert sys.modules["faiss"] is ours
    ours.uninstall()
    ours.uninstall()
    assert sys.modules["faiss"] is theirs
    assert importlib.import_module("faiss.contrib.evaluation").__file__ != ours.__file__
    assert importlib.util.find_spec("faiss").origin == theirs.__file__  # type: ignore[union-attr]


@pytest.mark.usefixtures("aliased")
def test_submodules_are_those_of_this_package() -> None:
    import faiss.contrib.torch_utils
    from faiss import IndexFlatIP, swigfaiss

    assert faiss.contrib.torch_utils is importlib.import_module("fastret.faiss.contrib.torch_utils")
    assert IndexFlatIP is ours.IndexFlatIP
    assert swigfaiss is importlib.import_module("faiss.swigfaiss_avx2") is ours
    assert importlib.util.find_spec("faiss.contrib.torch_utils") is not None
    assert importlib.util.find_spec("faiss.contrib.nothing") is None
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'faiss\.nothing'"):
        importlib.import_module("faiss.nothing")


@pytest.mark.usefixtures("aliased")
def test_libraries_that_look_for_faiss_find_it() -> None:
    from transformers.utils import is_faiss_available

    assert importlib.util.find_spec("faiss") is not None
    for name in ("faiss-cpu", "faiss_cpu", "faiss-gpu", "faiss"):
        assert importlib.metadata.version(name) == ours.__version__ == ours.get_version()
    assert next(d.metadata["Name"] for d in importlib.metadata.distributions(name="faiss-cpu")) == "faiss-cpu"
    assert "faiss-cpu" in importlib.metadata.packages_distributions()["faiss"]
    assert importlib.metadata.version("numpy") == np.__version__
    assert is_faiss_available()


@pytest.mark.parametrize("name", ["IndexFlatIP", "IndexFlatL2"])
def test_pickles_that_faiss_wrote_are_read(name: str, generator: np.random.Generator) -> None:
    reference = getattr(theirs, name)(5)
    reference.add(generator.standard_normal((9, 5), dtype=np.float32))
    written = pickle.dumps({"index": reference})
    ours.install(force=True)
    try:
        index = pickle.loads(written)["index"]
        assert type(index) is getattr(ours, name)
        again = pickle.loads(pickle.dumps(index))
    finally:
        ours.uninstall()
    np.testing.assert_array_equal(again.reconstruct_n(0, 9), reference.reconstruct_n(0, 9))
    assert type(pickle.loads(pickle.dumps(index))) is type(index)  # it needs no alias


SCRIPT = """
import pickle, sys
import faiss, faiss.contrib.evaluation
from faiss import IndexFlatIP
import helper

class Kept:
    pass

print(faiss.__name__, sys.argv, __name__, helper.faiss is faiss)
assert isinstance(pickle.loads(pickle.dumps(Kept())), Kept)
index = pickle.loads(pickle.dumps(IndexFlatIP(3)))
print(type(index).__name__, index.d)

def fail():
    return 1 / 0

fail()
"""


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastret.faiss", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_a_script_runs_as_python_runs_it(tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    script = tmp_path / "programs" / "script.py"
    script.write_text(SCRIPT)
    (script.parent / "helper.py").write_text("import faiss\n")  # found beside the script
    done = run(str(script), "-m", "--help", "x", folder=tmp_path)
    assert done.stdout.splitlines() == [
        f"fastret.faiss ['{script}', '-m', '--help', 'x'] __main__ True",
        "IndexFlatIP 3",
    ]
    plain = subprocess.run([sys.executable, "-c", "def f(): 1/0\nf()"], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{script}", line ')  # nothing of the runner
    assert lines[-1] == plain.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert done.returncode == plain.returncode == 1


def test_a_module_runs_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "__main__.py").write_text(
        "import sys, faiss; print(faiss.__name__, sys.argv[1:], __name__, __package__); sys.exit(7)"
    )
    done = run("-m", "programs", "--k", "3", folder=tmp_path)
    assert done.stdout == "fastret.faiss ['--k', '3'] __main__ programs\n"
    assert (done.stderr, done.returncode) == ("", 7)


def test_help_and_what_cannot_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--help"]) == 0
    assert "python -m fastret.faiss script.py" in capsys.readouterr().out
    assert runner.main(["no/such/script.py"]) == 2
    assert "there is no file no/such/script.py" in capsys.readouterr().err
    for arguments in ([], ["-x"], ["-m"]):
        assert runner.main(arguments) == 2
        assert "usage:" in capsys.readouterr().err
    assert runner.main(["--coverage"]) == 0
    assert "GPU names" in capsys.readouterr().out
