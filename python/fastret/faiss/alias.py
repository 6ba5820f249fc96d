"""`import faiss` for code that cannot be changed: install() makes it find fastret.faiss."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from .runtime import VERSION_STRING

PACKAGE = __name__.rpartition(".")[0]
# Modules of FAISS all of whose names its package has too.
_INNER_MODULES = (
    "array_conversions",
    "class_wrappers",
    "extra_wrappers",
    "gpu_wrappers",
    "loader",
    "swigfaiss",
    "swigfaiss_avx2",
    "swigfaiss_avx512",
    "swigfaiss_avx512_spr",
    "swigfaiss_sve",
)
_DISTRIBUTIONS = ("faiss", "faiss-cpu", "faiss-gpu")


def install(force: bool = False) -> None:
    """From now on `import faiss` and its submodules give fastret.faiss, in this process.

    importlib.util.find_spec("faiss") finds it, and importlib.metadata a faiss-cpu of the version that it follows, as
    libraries ask for them. Pickles of indexes that FAISS wrote can be read.

    Raises RuntimeError if the real faiss was imported before, as what did so goes on using it; with `force` it is
    replaced for what imports it later.
    """
    if _finder in sys.meta_path:
        return
    real = sys.modules.get("faiss")
    if real is not None and not force:
        raise RuntimeError(
            f"install: faiss was imported before, from {getattr(real, '__file__', None)}; call install earlier, or "
            "with force=True for what imports faiss later"
        )
    _replaced.update(_take_modules())
    sys.modules["faiss"] = sys.modules[PACKAGE]
    sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Undo `install`: `import faiss` gives what it gave before."""
    if _finder not in sys.meta_path:
        return
    sys.meta_path.remove(_finder)
    _take_modules()
    sys.modules.update(_replaced)
    _replaced.clear()


_replaced: dict[str, ModuleType] = {}  # the real faiss, while it is not in sys.modules


def _take_modules() -> dict[str, ModuleType]:
    """faiss and its submodules, out of sys.modules."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "faiss"}


class _Finder(Loader, DistributionFinder):
    """Finds faiss.contrib.evaluation as fastret.faiss.contrib.evaluation, and so on: one module, two names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "faiss" or importlib.util.find_spec(_own_name(fullname)) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # importlib takes what is in sys.modules then.
        sys.modules[module.__name__] = importlib.import_module(_own_name(module.__name__))

    def find_distributions(
        self,
        context: DistributionFinder.Context = DistributionFinder.Context(),  # noqa: B008
    ) -> Iterable[Distribution]:
        if context.name is None or context.name.lower().replace("_", "-") in _DISTRIBUTIONS:
            yield _Distribution()


class _Distribution(Distribution):
    """What importlib.metadata tells of faiss-cpu."""

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: faiss-cpu\nVersion: {VERSION_STRING}\nSummary: fastret.faiss\n"
        return "faiss\n" if filename == "top_level.txt" else None

    def locate_file(self, path: Any) -> Path:
        return Path(__file__).parent.joinpath(path)


def _own_name(fullname: str) -> str:
    inner = fullname.partition(".")[2]
    return PACKAGE if inner in ("", *_INNER_MODULES) else f"{PACKAGE}.{inner}"


_finder = _Finder()
