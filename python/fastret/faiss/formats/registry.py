"""Which four bytes a file begins with for each kind of object, and who reads and writes it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .stream import Reader, Writer

T = TypeVar("T")
ReadFunction = TypeVar("ReadFunction", bound=Callable[[Reader, bytes], Any])
WriteFunction = TypeVar("WriteFunction", bound=Callable[[Writer, Any], None])


class Registry(Generic[T]):
    """The readers by fourcc and the writers by class of one sort of object, which files nest in each other.

    >>> @indexes.reads(b"IxFI")
    ... def read_flat(reader: Reader, fourcc: bytes) -> Index: ...
    >>> @indexes.writes(IndexFlat)  # and its subclasses, unless they have their own
    ... def write_flat(writer: Writer, index: IndexFlat) -> None: ...  # the fourcc included
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._readers: dict[bytes, Callable[[Reader, bytes], T]] = {}
        self._writers: dict[type, Callable[[Writer, Any], None]] = {}

    def reads(self, *fourccs: bytes) -> Callable[[ReadFunction], ReadFunction]:
        def register(function: ReadFunction) -> ReadFunction:
            self._readers.update(dict.fromkeys(fourccs, function))
            return function

        return register

    def writes(self, *kinds: type) -> Callable[[WriteFunction], WriteFunction]:
        def register(function: WriteFunction) -> WriteFunction:
            self._writers.update(dict.fromkeys(kinds, function))
            return function

        return register

    def read(self, reader: Reader) -> T:
        """Raises RuntimeError, naming the file, for a kind that is not known here."""
        _import_families()
        fourcc = reader.fourcc()
        if fourcc not in self._readers:
            raise RuntimeError(
                f"read_index: {reader.name} holds {fourcc!r} where a known {self.what} must be; "
                "real faiss may read it: pip install faiss-cpu, import faiss"
            )
        return self._readers[fourcc](reader, fourcc)

    def write(self, writer: Writer, value: T) -> None:
        """Raises TypeError for what is none of them, RuntimeError where FAISS has no format for it."""
        _import_families()
        for kind in type(value).__mro__:
            if kind in self._writers:
                self._writers[kind](writer, value)
                return
        raise TypeError(f"write_index: {type(value).__name__} is no {self.what} that has a file format")


indexes: Registry[Any] = Registry("index")
binary_indexes: Registry[Any] = Registry("binary index")
transforms: Registry[Any] = Registry("vector transform")
inverted_lists: Registry[Any] = Registry("set of inverted lists")


def _import_families() -> None:
    """Every module of this folder registers what it knows, on the first file."""
    from . import __path__ as folder

    if not _imported:
        _imported.append(True)
        for module in pkgutil.iter_modules(folder):
            importlib.import_module(f"{__package__}.{module.name}")


_imported: list[bool] = []
