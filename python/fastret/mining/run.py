"""A mining run: block by block, kept on disk if wanted, so that one that was stopped goes on where it was.

Beside the result, in a folder called like it with `.mining` behind, are

    plan.json               what is mined from what and how: another run goes on only where all of it is the same
    embeddings/             the stores of what a model embedded
    block-00000.parquet     the rows of the first queries; and so on
    block-00000.json        what there is to tell of them

Every file is written under another name and renamed. Once the result has its name the folder is removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..embed.batching import progress_bar
from ..replacing import replacing
from .candidates import Miner
from .formats import Format
from .options import OP
from .summary import MiningSummary

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".jsonl")


def work_folder(out: Path) -> Path:
    """Raises ValueError for a result that is neither parquet nor JSON lines."""
    if out.suffix not in SUFFIXES:
        raise ValueError(f"{OP}: out must end in .parquet or .jsonl, got {out.name}")
    return out.with_name(f"{out.name}.mining")


def begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make the folder ready. Raises ValueError where it holds the beginning of another run, naming the difference."""
    file = folder / "plan.json"
    if file.is_file():
        begun = json.loads(file.read_text(encoding="utf-8"))
        for key in plan:
            if begun.get(key) != plan[key]:
                raise ValueError(
                    f"{OP}: {folder} holds a run that was begun with another {key}; finish that run, delete the "
                    "folder, or write to another file"
                )
        return
    # Of a finished run that was killed while it removed them, say: without a plan nobody knows what they are of.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_text(file, json.dumps(plan, indent=2))


def mine_in_memory(
    miner: Miner, form: Format, queries: int, block_rows: int, progress: bool | None
) -> tuple[pyarrow.Table, MiningSummary]:
    """Every row at once."""
    import pyarrow

    tables, summary = [form.table([])], MiningSummary()
    with progress_bar(queries, progress, description="mine") as bar:
        for first in range(0, queries, block_rows):
            table, found = _block(miner, form, first, min(first + block_rows, queries))
            tables.append(table)
            summary += found
            bar.update(min(block_rows, queries - first))
    return pyarrow.concat_tables(tables), summary


def mine_to_file(
    miner: Miner, form: Format, queries: int, block_rows: int, progress: bool | None, out: Path
) -> MiningSummary:
    """Mine the blocks that are missing, then write all to `out`; memory holds one block at a time."""
    import pyarrow.parquet

    folder = work_folder(out)
    blocks = [folder / f"block-{number:05d}.parquet" for number in range(-(-queries // block_rows))]
    summary = MiningSummary()
    with progress_bar(queries, progress, description="mine") as bar:
        for number, block in enumerate(blocks):
            first, last = number * block_rows, min((number + 1) * block_rows, queries)
            told = block.with_suffix(".json")
            if not told.is_file():  # it is written last
                table, found = _block(miner, form, first, last)
                with replacing(block) as temporary:
                    pyarrow.parquet.write_table(table, temporary)
                _write_text(told, json.dumps(asdict(found)))
            summary += MiningSummary(**json.loads(told.read_text(encoding="utf-8")))
            bar.update(last - first)
    with replacing(out) as temporary:
        _WRITERS[out.suffix](temporary, form.schema(), blocks)
    shutil.rmtree(folder)
    return summary


def _block(miner: Miner, form: Format, first: int, last: int) -> tuple[pyarrow.Table, MiningSummary]:
    mined = miner.mine(first, last)
    table = form.table(mined)
    return table, MiningSummary.of(mined, form.num_negatives, table.num_rows)


def _write_parquet(path: Path, schema: pyarrow.Schema, blocks: list[Path]) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for block in blocks:
            writer.write_table(pyarrow.parquet.read_table(block, schema=schema))


def _write_json_lines(path: Path, schema: pyarrow.Schema, blocks: list[Path]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for row in _rows(blocks):
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rows(blocks: list[Path]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    for block in blocks:
        yield from pyarrow.parquet.read_table(block).to_pylist()


_WRITERS = {".parquet": _write_parquet, ".jsonl": _write_json_lines}


def _write_text(file: Path, text: str) -> None:
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
