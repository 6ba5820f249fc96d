"""Where the commands print their tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Wider than any table: rich takes a pipe for 80 columns and would cut what does not fit.
PIPE_WIDTH = 10_000


def stdout_console() -> Console:
    """A console of the terminal's width; into a file or a pipe, lines are as long as they are."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
