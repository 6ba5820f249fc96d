"""The ops behave as torch's own: compiled, exported, traced, under autocast, in threads, on numpy arrays."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch._dynamo.testing
from hard_vectors import METRICS, normal
from same_bits import assert_same_bits
from torch import Generator, Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import fastret


def every_op(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, ...]:
    scores = fastret.cosine_scores(queries, keys, "l2")
    return (*fastret.search(queries, keys, k, "cosine"), scores, *fastret.select_k(scores, k, largest=False))


def assert_all_same(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> None:
    for number, (one, other) in enumerate(zip(got, want, strict=True)):
        assert_same_bits(one, other, f"output {number}")


@pytest.mark.parametrize(("dtype", "needs_grad"), [(torch.float32, True), (torch.bfloat16, False)])
def test_opcheck(dtype: torch.dtype, needs_grad: bool, generator: Generator) -> None:
    def rows(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_(needs_grad)

    ops = torch.ops.fastret
    for metric in range(3):
        torch.library.opcheck(ops.cosine_scores.default, (rows(2, 3, 5), rows(2, 4, 5), metric))
        torch.library.opcheck(ops.search.default, (rows(5, 6).detach(), rows(9, 6).detach(), 3, metric))
    torch.library.opcheck(ops.cosine_scores.default, (rows(1, 3, 5), rows(1, 4, 5), 0, torch.bfloat16))
    filters = torch.arange(9) % 2 > 0, torch.arange(5)[:, None]
    queries, keys = rows(5, 6).detach(), rows(9, 6).detach()
    torch.library.opcheck(ops.search.default, (queries, keys, 3, 0, *filters))
    packing = fastret.pack(keys, "int8").packing
    assert packing is not None
    for arguments in ((), packing.arguments):
        named = {"allowed": filters[0], "excluded": filters[1]}
        torch.library.opcheck(ops.explained_search.default, (queries, keys, 3, 0, 2, *arguments), named)
        torch.library.opcheck(ops.range_search.default, (queries, keys, 0.5, 0, 2, *arguments), named)
    panels, facts, frame = packing[:3]
    torch.library.opcheck(ops.key_frame.default, (keys, 0))
    torch.library.opcheck(ops.pack_keys_.default, (keys, 0, 2, frame, 0, panels, facts))
    for largest in (True, False):
        torch.library.opcheck(ops.select_k.default, (rows(3, 8), 5, largest))
        torch.library.opcheck(ops.select_k.default, (rows(3, 8).T, 10, largest))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_without_a_graph_break(backend: str, generator: Generator) -> None:
    torch._dynamo.reset()
    inputs = normal(6, 40, 8, generator)
    compiled = torch.compile(every_op, fullgraph=True, backend=backend)
    assert_all_same(compiled(*inputs, 5), every_op(*inputs, 5))


def test_compile_with_dynamic_shapes_compiles_once(generator: Generator) -> None:
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(every_op, fullgraph=True, dynamic=True, backend=counter)
    for num_queries, num_keys, dim, k in ((6, 40, 8, 5), (7, 31, 9, 4), (12, 100, 33, 20)):
        inputs = normal(num_queries, num_keys, dim, generator)
        assert_all_same(compiled(*inputs, k), every_op(*inputs, k))
    assert counter.frame_count == 1


def test_compiled_gradients_are_the_eager_ones(generator: Generator) -> None:
    torch._dynamo.reset()

    def loss(queries: Tensor, keys: Tensor) -> Tensor:
        return fastret.select_k(fastret.cosine_scores(queries, keys), 3)[0].sum()

    gradients = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        leaves = [rows.clone().requires_grad_() for rows in normal(4, 9, 6, generator.manual_seed(1))]
        function(*leaves).backward()
        gradients.append(tuple(leaf.grad for leaf in leaves))
    assert_all_same(gradients[0], gradients[1])


def test_compile_a_range_search(generator: Generator) -> None:
    torch._dynamo.reset()

    def count(queries: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
        lims, scores, ids = fastret.range_search(queries, keys, 0.5, allowed=keys[:, 0] > 0)
        return lims.diff(), scores * 2, ids + 1

    inputs = normal(6, 40, 8, generator)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(count, fullgraph=True, backend="aot_eager")
        assert_all_same(compiled(*inputs), count(*inputs))


def test_compile_packs_filters_and_first_passes(generator: Generator) -> None:
    torch._dynamo.reset()

    def every_filter(queries: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
        allowed, excluded = keys[:, 0] > 0, torch.arange(len(queries))[:, None]
        return fastret.search(queries, keys, 5, "l2", first_pass="int8", allowed=allowed, excluded=excluded)

    inputs = normal(6, 40, 8, generator)
    compiled = torch.compile(every_filter, fullgraph=True, backend="aot_eager")
    assert_all_same(compiled(*inputs), every_filter(*inputs))


def test_export_with_dynamic_shapes(generator: Generator) -> None:
    class Retriever(torch.nn.Module):
        def forward(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
            return every_op(queries, keys, 5)

    axes = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(
        Retriever(), normal(6, 40, 8, generator), dynamic_shapes={"queries": axes, "keys": axes}
    )
    inputs = normal(11, 57, 8, generator)
    assert_all_same(program.module()(*inputs), every_op(*inputs, 5))


def test_meta_tensors_give_shapes(generator: Generator) -> None:
    queries, keys = normal(6, 40, 8, generator)
    want = every_op(queries, keys, 50)
    got = every_op(queries.to("meta"), keys.to("meta"), 50)
    assert [(t.shape, t.dtype, t.device.type) for t in got] == [(t.shape, t.dtype, "meta") for t in want]


def test_cuda_tensors_go_to_the_search_of_their_device() -> None:
    with FakeTensorMode():  # tensors of a device that need not be there
        queries, keys = torch.empty(6, 40, device="cuda"), torch.empty(90, 40, device="cuda")
        packed = fastret.pack(keys)
        assert packed.packing is None and packed.device.type == "cuda"
        for searched in (keys, packed):
            allowed = torch.empty(90, dtype=torch.bool, device="cuda")
            scores, ids = fastret.search(queries, searched, 5, allowed=allowed, first_pass="int8")
            assert scores.shape == ids.shape == (6, 5) and ids.device.type == "cuda"
        assert fastret.explain_search(queries, packed, 5).answered_by == {"device": 6}


def test_autocast_changes_no_bit(generator: Generator) -> None:
    inputs = normal(6, 40, 8, generator)
    want = every_op(*inputs, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert_all_same(every_op(*inputs, 5), want)


def test_no_grad_and_inference_mode(generator: Generator) -> None:
    queries, keys = (rows.requires_grad_() for rows in normal(6, 40, 8, generator))
    want = fastret.cosine_scores(queries, keys)
    assert want.requires_grad
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            got = fastret.cosine_scores(queries, keys)
            assert not got.requires_grad and not fastret.select_k(got, 3)[0].requires_grad
            assert_same_bits(got, want.detach())


@pytest.mark.parametrize("metric", METRICS)
def test_vmap_is_the_batch(metric: str, generator: Generator) -> None:
    queries = torch.randn(3, 4, 6, generator=generator)
    keys = torch.randn(3, 9, 6, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch: the op is called once per element
        scores = torch.vmap(lambda q, x: fastret.cosine_scores(q, x, metric))(queries, keys)
        found = torch.vmap(lambda q, x: fastret.search(q, x, 4, metric))(queries, keys)
    assert_same_bits(scores, fastret.cosine_scores(queries, keys, metric))
    for b in range(3):
        assert_all_same((found[0][b], found[1][b]), fastret.search(queries[b], keys[b], 4, metric))


def test_deterministic_algorithms_are_no_obstacle(generator: Generator) -> None:
    queries, keys = (rows.requires_grad_() for rows in normal(6, 40, 8, generator))
    torch.use_deterministic_algorithms(True)
    try:
        fastret.select_k(fastret.cosine_scores(queries, keys), 3)[0].sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert queries.grad is not None


def test_set_num_threads_is_honoured() -> None:
    # In a new process, since a pool of threads outlives the call that made it.
    program = """
import os, torch, fastret
rows = torch.randn(2000, 64)
counts = []
for threads in (1, 2):
    torch.set_num_threads(threads)
    for op in (lambda: fastret.search(rows, rows, 3), lambda: fastret.cosine_scores(rows, rows),
               lambda: fastret.select_k(rows, 3)):
        op()
        counts.append(len(os.listdir("/proc/self/task")))
print([count - counts[0] for count in counts])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[0, 0, 0, 1, 1, 1]"


def test_calls_from_several_threads_give_the_same_bits(generator: Generator) -> None:
    inputs = normal(20, 3000, 24, generator)
    want = every_op(*inputs, 10)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: every_op(*inputs, 10), range(12)):
            assert_all_same(got, want)


@pytest.mark.parametrize("first_pass", ["int8", "int16"])
def test_packed_keys_are_searched_from_several_threads(first_pass: str, generator: Generator) -> None:
    queries, keys = normal(40, 3000, 48, generator)
    packed = fastret.pack(keys, first_pass, "l2")
    want = (*fastret.search(queries, keys, 10, "l2"), *fastret.range_search(queries, keys, 60.0, "l2"))
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(
            lambda _: (*fastret.search(queries, packed, 10), *fastret.range_search(queries, packed, 60.0)), range(12)
        ):
            assert_all_same(got, want)


def test_switching_the_instruction_set_during_a_search_gives_the_same_bits(generator: Generator) -> None:
    inputs = normal(20, 1000, 40, generator)
    want = fastret.search(*inputs, 10)
    packed = fastret.pack(inputs[1])
    isas = fastret._C.available_isas()
    done = threading.Event()

    def switch() -> int:
        switches = 0
        while not done.is_set():
            fastret._C.set_isa(isas[switches % len(isas)])
            switches += 1
        return switches

    patience = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # of the one thread while the other wants its turn
    with ThreadPoolExecutor(1) as pool:
        switching = pool.submit(switch)
        try:
            for _ in range(100):
                assert_all_same(fastret.search(*inputs, 10), want)
                assert_all_same(fastret.search(inputs[0], packed, 10, first_pass="int16"), want)
                assert_all_same(fastret.search(inputs[0], packed, 10), want)
        finally:
            done.set()
            sys.setswitchinterval(patience)
    assert switching.result() > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numpy_in_numpy_out(dtype: type, generator: Generator) -> None:
    queries, keys = (rows.numpy().astype(dtype) for rows in normal(6, 40, 8, generator))
    got = every_op(queries, keys, 5)
    assert all(isinstance(array, np.ndarray) for array in got)
    want = every_op(torch.from_numpy(queries), torch.from_numpy(keys), 5)
    assert_all_same(tuple(map(torch.from_numpy, got)), want)


def test_the_result_is_of_the_kind_of_the_queries(generator: Generator) -> None:
    queries, keys = normal(6, 40, 8, generator)
    assert isinstance(fastret.search(queries.numpy(), keys, 5)[1], np.ndarray)
    assert isinstance(fastret.search(queries, keys.numpy(), 5)[1], Tensor)


def test_search_asks_for_no_gradient_and_numpy_results_carry_none(generator: Generator) -> None:
    queries, keys = (rows.requires_grad_() for rows in normal(6, 40, 8, generator))
    assert not fastret.search(queries, keys, 5)[0].requires_grad
    assert isinstance(fastret.cosine_scores(queries.detach().numpy(), keys), np.ndarray)


def reversed_rows(array: np.ndarray) -> np.ndarray:
    return array[::-1].copy()[::-1]


def reversed_elements(array: np.ndarray) -> np.ndarray:
    return array[:, ::-1].copy()[:, ::-1]


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def big_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(">f4")


@pytest.mark.parametrize("layout", [reversed_rows, reversed_elements, read_only, big_endian, np.asfortranarray])
def test_numpy_layouts(layout: object, generator: Generator) -> None:
    queries, keys = normal(6, 40, 8, generator)
    want = every_op(queries, keys, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = every_op(layout(queries.numpy()), layout(keys.numpy()), 5)
    assert_all_same(tuple(map(torch.from_numpy, got)), want)


def test_numpy_arrays_are_read_in_place(generator: Generator) -> None:
    from fastret.ops.arrays import to_tensor

    array = read_only(torch.randn(3, 4, generator=generator).numpy())
    assert to_tensor("search", "keys", array).data_ptr() == array.ctypes.data
