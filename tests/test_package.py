"""The package as a whole: what importing it costs, what it says of itself, and that its stub is true."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fastret
from fastret import _C

STUB = Path(fastret.__file__).with_name("_C.pyi")


def run_python(code: str, **environment: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_importing_fastret_loads_no_heavy_library() -> None:
    heavy = (
        "tqdm",
        "transformers",
        "matplotlib",
        "plotly",
        "scipy",
        "pyarrow",
        "PIL",
        "rich",
        "typer",
        "faiss",
        "cupy",
    )
    # torch itself may import some of them: only what fastret adds counts.
    code = f"""
import json, sys, torch
before = set(sys.modules)
import fastret
print(json.dumps(sorted(m for m in {heavy} if m in sys.modules and m not in before)))
"""
    assert json.loads(run_python(code)) == []


def test_rooms_load_when_touched_and_unknown_names_are_refused() -> None:
    assert fastret.ops.search is fastret.search
    assert "FlatIndex" in dir(fastret)
    with pytest.raises(AttributeError, match="module 'fastret' has no attribute 'serach'"):
        fastret.serach  # noqa: B018


def test_build_info_tells_what_is_in_use() -> None:
    info = fastret.build_info()
    assert info["version"] == fastret.__version__
    assert info["torch"] == torch.__version__
    assert info["isa"] in info["isas"]
    assert info["isas"][0] == "scalar"
    assert info["threads"] == torch.get_num_threads()
    assert info["cuda_library"] == "loaded" or info["cuda_library"].startswith("not loaded: ")


def test_fastret_isa_chooses_the_instruction_set() -> None:
    assert run_python("import fastret; print(fastret.build_info()['isa'])", FASTRET_ISA="scalar").strip() == "scalar"


def test_set_isa_refuses_an_unknown_set_and_keeps_the_current_one() -> None:
    before = _C.get_isa()
    with pytest.raises(ValueError, match="set_isa: this machine cannot run 'sse9'"):
        _C.set_isa("sse9")
    assert _C.get_isa() == before


def test_the_stub_names_exactly_what_the_native_module_has() -> None:
    named = {node.name: node for node in ast.parse(STUB.read_text()).body if hasattr(node, "name")}
    assert set(named) == {name for name, value in inspect.getmembers(_C) if callable(value) and name[0] != "_"}
    for name, node in named.items():
        if isinstance(node, ast.FunctionDef):
            assert_stub(getattr(_C, name), node)
            continue
        methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
        assert set(methods) - {"__init__"} == {method for method in vars(getattr(_C, name)) if method[0] != "_"}, name
        for method_name, method in methods.items():
            if not method.decorator_list:  # else a property, or one of several signatures
                assert_stub(getattr(getattr(_C, name), method_name), method)


def assert_stub(function: object, node: ast.FunctionDef) -> None:
    signature = (function.__doc__ or "").splitlines()[0]  # pybind11 writes it there
    arguments = [argument.arg for argument in node.args.args]
    written = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    assert re.findall(r"(?:^|, )(\w+)(?::|$|,)", written) == arguments, node.name


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert version("fastret") == fastret.__version__
