"""Tables that read as text and as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str]) -> str:
    """A table with columns padded to one width: those named in `texts` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    left = [name in texts for name in header]
    rule = ["-" * (width - 1) + ("-" if text else ":") for width, text in zip(widths, left, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(cells, widths, left, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, (header, rule, *rows)))
