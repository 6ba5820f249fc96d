"""Writing a file so that a reader finds the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

# Linux's system call that can swap names.
_renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
_AT_CWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block writes there replaces `path` if it succeeds.

    An error in the block removes the temporary file and leaves `path` as it was. The new file is on the disk
    before it takes the name, so that a power cut leaves one of the two as well. Not durable: it takes the name
    at once, in the time that overwriting takes; a power cut soon after may leave it cut off or empty.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"a file is to be written, and {path} is a folder")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        # ext4 would wait for the disk before a file takes the name of another, but not when they swap.
        if durable or not _swapped(temporary, path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _swapped(one: Path, other: Path) -> bool:
    """Swap the names of two files at once, where both are there and the system can."""
    return _renameat2 is not None and (
        _renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
    )
