"""Chunks on their way to a device: in bounded memory, and never written while a search may read them.

No device is needed: a model of streams and events records which of the operations must come before which others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fastret import FlatIndex
from fastret.index import streamed_storage
from fastret.index.streamed_storage import copied_chunks
from fastret.ops.planes import KEY_TILE, row_blocks

CPU = torch.device("cpu")


class ModelStreams:
    """Stands for torch.cuda."""

    def __init__(self) -> None:
        self.computing, self.copying = ModelStream("computing"), ModelStream("copying")
        self.active = self.computing

    def Event(self) -> ModelEvent:
        return ModelEvent()

    def Stream(self, device: torch.device) -> ModelStream:
        return self.copying

    def current_stream(self, device: torch.device) -> ModelStream:
        return self.active

    @contextmanager
    def stream(self, stream: ModelStream) -> Iterator[None]:
        before, self.active = self.active, stream
        yield
        self.active = before


class ModelEvent:
    def __init__(self) -> None:
        self.after: dict[str, int] = {}

    def record(self, stream: ModelStream) -> None:
        self.after = dict(stream.after)


class ModelStream:
    def __init__(self, name: str) -> None:
        self.name = name
        # By stream: how many of its operations the next one here surely comes after.
        self.after: dict[str, int] = {"computing": 0, "copying": 0}

    def run(self) -> Access:
        self.after[self.name] += 1
        return Access(self.name, self.after[self.name], dict(self.after))

    def wait_event(self, event: ModelEvent) -> None:
        self.after = {name: max(time, event.after.get(name, 0)) for name, time in self.after.items()}

    def wait_stream(self, other: ModelStream) -> None:
        self.after = {name: max(time, other.after[name]) for name, time in self.after.items()}


class Access:
    def __init__(self, stream: str, time: int, after: dict[str, int]) -> None:
        self.stream, self.time, self.after = stream, time, after

    def surely_after(self, other: Access) -> bool:
        return self.after[other.stream] >= other.time


def hazards(monkeypatch: pytest.MonkeyPatch, num_chunks: int) -> tuple[list[str], bool]:
    """What may go wrong, and whether each copy begins early enough and may run beside the search before."""
    model, found = ModelStreams(), []
    reads: dict[int, list[Access]] = {}
    writes: dict[int, Access] = {}
    overlaps, copies = True, 0
    allocated = model.computing.run()  # what the memory was last used for

    def copy_(chunk: Tensor, rows: Tensor, non_blocking: bool = False) -> Tensor:
        nonlocal copies
        copies += 1
        write = model.active.run()
        if not write.surely_after(allocated):
            found.append("a copy into memory that is still in use")
        found.extend(
            "a copy over a chunk that is read"
            for read in reads.get(chunk.data_ptr(), [])
            if not write.surely_after(read)
        )
        writes[chunk.data_ptr()] = write
        return copied(chunk, rows)

    copied = Tensor.copy_
    rows = torch.arange(num_chunks * 3.0)[:, None]
    blocks = [slice(first, first + 3) for first in range(0, len(rows), 3)]
    with monkeypatch.context() as patched:
        patched.setattr(torch, "get_device_module", lambda device: model)
        patched.setattr(Tensor, "copy_", copy_)
        before = None
        for block, chunk in copied_chunks(rows, blocks, CPU):
            assert torch.equal(chunk, rows[block])
            assert model.active is model.computing
            overlaps &= copies >= min(num_chunks, block.stop // 3 + 1)  # the next one has begun
            overlaps &= before is None or not writes[chunk.data_ptr()].surely_after(before)
            before = model.computing.run()  # the search
            reads.setdefault(chunk.data_ptr(), []).append(before)
            if not before.surely_after(writes[chunk.data_ptr()]):
                found.append("a search of a chunk that is not there yet")
    end = model.computing.run()
    found.extend(
        "memory that is given back while it is written" for write in writes.values() if not end.surely_after(write)
    )
    assert len(writes) == min(2, num_chunks)
    return found, overlaps


@pytest.mark.parametrize("num_chunks", [0, 1, 2, 3, 7])
def test_copies_run_beside_searches_but_not_into_what_they_read(
    num_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hazards(monkeypatch, num_chunks) == ([], True)


@pytest.mark.parametrize(
    ("stream", "wait", "what"),
    [
        ("copying", "wait_event", "a copy over a chunk that is read"),
        ("copying", "wait_stream", "a copy into memory that is still in use"),
        ("computing", "wait_event", "a search of a chunk that is not there yet"),
    ],
)
def test_a_forgotten_wait_is_noticed(stream: str, wait: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = getattr(ModelStream, wait)

    def forgetful(self: ModelStream, other: object) -> None:
        if self.name != stream:
            waiting(self, other)

    monkeypatch.setattr(ModelStream, wait, forgetful)
    assert what in hazards(monkeypatch, 5)[0]


def test_a_search_that_was_interrupted_gives_no_memory_back_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelStreams()
    with monkeypatch.context() as patched:
        patched.setattr(torch, "get_device_module", lambda device: model)
        chunks = copied_chunks(torch.zeros(9, 1), [slice(0, 3), slice(3, 6)], CPU)
        next(chunks)
        late = model.copying.run()
        chunks.close()  # type: ignore[attr-defined]
    assert model.computing.run().surely_after(late)


class Allocations(TorchDispatchMode):
    """The bytes of the tensors that are made for each shape's last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.empty.memory_format, torch.ops.aten.new_empty.default, torch.ops.aten.full.default):
            self.nbytes += result.nbytes
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_and_planes_take_half_of_the_workspace(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    index = FlatIndex(128, storage="host", workspace_mib=1, dtype=dtype)
    index.add(torch.randn(5000, 128, generator=torch.Generator().manual_seed(0)))
    workspaces = []

    def search_split(queries: Tensor, planes: object, k: int, *rest: object) -> tuple[Tensor, Tensor]:
        workspaces.append(rest[-1])
        return torch.zeros(len(queries), k), torch.zeros(len(queries), k, dtype=torch.int64)

    monkeypatch.setattr(streamed_storage, "search_split", search_split)
    monkeypatch.setattr(streamed_storage.SplitPlanes, "with_rows", lambda planes, *_: planes)
    with Allocations() as made:
        index.search(torch.zeros(1, 128), 3)
    assert 0.6 * (1 << 19) < made.nbytes <= 1 << 19
    assert len(workspaces) >= 5 and set(workspaces) == {1 << 19}


def test_a_workspace_that_is_too_small_still_takes_a_tile() -> None:
    assert [(block.start, block.stop) for block in row_blocks(2 * KEY_TILE + 1, 1 << 20, 1 << 19)] == [
        (0, KEY_TILE),
        (KEY_TILE, 2 * KEY_TILE),
        (2 * KEY_TILE, 2 * KEY_TILE + 1),
    ]


def test_many_chunks_give_the_bits_of_one_search() -> None:
    rows = torch.randn(3000, 200, generator=torch.Generator().manual_seed(0))
    plain, index = FlatIndex(200, "cosine"), FlatIndex(200, "cosine", storage="host", workspace_mib=1)
    for one in (plain, index):
        one.add(rows)
    assert len(index._contents.storage._blocks(3000)) >= 6  # type: ignore[attr-defined]
    for got, want in zip(index.search(rows[:5], 30), plain.search(rows[:5], 30), strict=True):
        assert torch.equal(got, want)
