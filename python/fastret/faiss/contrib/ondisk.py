"""Several inverted files become one whose lists are on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..formats.stream import IO_FLAG_MMAP
from ..index_io import read_index
from ..ivf.on_disk_lists import OnDiskInvertedLists
from ..nested import extract_index_ivf

LOG = logging.getLogger(__name__)


def merge_ondisk(trained_index: Any, shard_fnames: Sequence[str], ivfdata_fname: str, shift_ids: bool = False) -> None:
    """Fill a trained, empty index with the vectors of index files, its lists being on disk in ivfdata_fname.

    The shards are memory-mapped. shift_ids: ids of each shard continue after those of the one before.
    """
    if trained_index.ntotal:
        raise AssertionError(f"merge_ondisk: the index must be empty, it holds {trained_index.ntotal} vectors")
    sources = []
    for name in shard_fnames:
        LOG.info("read %s", name)
        sources.append(extract_index_ivf(read_index(name, IO_FLAG_MMAP)).invlists)
    index_ivf = extract_index_ivf(trained_index)
    lists = OnDiskInvertedLists(index_ivf.nlist, index_ivf.code_size, ivfdata_fname)
    LOG.info("merge %d inverted lists", len(sources))
    index_ivf.ntotal = lists.merge_from_multiple(sources, len(sources), shift_ids)
    index_ivf.replace_invlists(lists, True)
    if trained_index is not index_ivf:
        trained_index.ntotal = index_ivf.ntotal
