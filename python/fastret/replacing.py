"""Writing a file so that a reader finds the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block writes there replaces `path` if it succeeds.

    An error in the block removes the temporary file and leaves `path` as it was. The new file is on the disk
    before it takes the name, so that a power cut leaves one of the two as well.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"a file is to be written, and {path} is a folder")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
