"""What only a device can show: graphs, streams, compilation, memory, far offsets, and its two search kernels."""

from __future__ import annotations

from collections.abc import Callable

import hard_vectors
import torch
from torch import Tensor

import fastret
from fastret.ops import unit_rows

from ..search_kernels import BOTH, has_hopper_kernel, search_kernel
from .comparing import METRICS, Answer, Checks, generator, same
from .searches import MANY

Op = Callable[[], Answer]


def ops_on(device: torch.device) -> dict[str, Op]:
    """Every op, on inputs that stay the same."""
    queries, keys = (part.to(device) for part in hard_vectors.normal(64, 60_000, 96, generator(30)))
    labels = {"query_labels": torch.arange(64, device=device), "key_labels": torch.arange(60_000, device=device) % 999}
    positives = torch.arange(64, device=device)
    allowed = torch.arange(60_000, device=device) % 2 == 0
    excluded = torch.randint(60_000, (64, 50), generator=generator(31)).to(device)
    packed = fastret.pack(keys)
    weights = torch.randn(64, 500, generator=generator(32)).to(device)

    def with_gradients() -> Answer:
        q, x = queries.clone().requires_grad_(), keys[:500].clone().requires_grad_()
        scores = fastret.cosine_scores(q, x)
        return scores.detach(), *torch.autograd.grad(scores, (q, x), weights)

    return {
        "search": lambda: fastret.search(queries, keys, 20),
        "search, filtered": lambda: fastret.search(queries, keys, 20, "l2", allowed=allowed, excluded=excluded),
        "search of planes": lambda: fastret.search(queries, packed, 20),
        "mine_hard_negatives": lambda: fastret.mine_hard_negatives(
            queries, keys, 20, positives, "cosine", relative_margin=0.05, **labels
        ),
        "select_k": lambda: fastret.select_k(keys[:64].reshape(4, -1), 50),
        "select_k, sorted": lambda: fastret.select_k(keys[:64], 96),
        "cosine_scores": lambda: (fastret.cosine_scores(queries, keys[:500]),),
        "gradients of cosine_scores": with_gradients,
        "unit_rows": lambda: (unit_rows(keys, out_dtype=torch.bfloat16),),
    }


def checks(device: torch.device) -> Checks:
    for name, op in ops_on(device).items():
        for ask in (in_a_graph, on_another_stream, without_synchronising, again_and_again):
            if ask is not without_synchronising or "gradients" not in name:  # autograd's own business
                yield f"{name}, {ask.__name__.replace('_', ' ')}", lambda ask=ask, op=op: ask(op, op())
    for check in (
        *(compiled, batch_by_batch, within_memory, beyond_2_to_31_elements, ids_beyond_2_to_32),
        *(filters_elsewhere_are_refused, under_autocast),
    ):
        yield check.__name__.replace("_", " "), lambda check=check: check(device)
    yield from of_both_kernels(device)


def in_a_graph(op: Op, want: Answer) -> None:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # the first call on the stream may load kernels, which a graph may not
        op()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        got = op()
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    same(got, want, "the eager call")


def on_another_stream(op: Op, want: Answer) -> None:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        got = op()
    stream.synchronize()
    same(got, want, "the default stream")


def without_synchronising(op: Op, want: Answer) -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        op()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def again_and_again(op: Op, want: Answer) -> None:
    for _ in range(5):
        same(op(), want, "the first run")


def compiled(device: torch.device) -> None:
    queries, keys = (part.to(device) for part in hard_vectors.normal(20, 3000, 64, generator(33)))
    positives = torch.arange(20, device=device)

    def ask(queries: Tensor, keys: Tensor) -> Answer:
        scores, ids = fastret.search(queries, keys, 10)
        mined = fastret.mine_hard_negatives(queries, keys, 10, positives, absolute_margin=0.1)
        return scores, ids, *mined, *fastret.select_k(scores, 3), unit_rows(queries, out_dtype=torch.bfloat16)

    for mode in ("default", "reduce-overhead"):  # the second captures graphs
        torch._dynamo.reset()
        function = torch.compile(ask, fullgraph=True, mode=mode)
        for _ in range(3):
            same(tuple(part.clone() for part in function(queries, keys)), ask(queries, keys), f"eager, {mode}")


def under_autocast(device: torch.device) -> None:
    queries, keys = (part.to(device) for part in hard_vectors.normal(20, 300, 64, generator(34)))
    want = fastret.cosine_scores(queries, keys)
    with torch.autocast("cuda", torch.bfloat16):
        same((fastret.cosine_scores(queries, keys),), (want,), "the call without autocast")
        product = fastret.cosine_scores(queries, keys, exact=False)
    assert product.dtype == torch.bfloat16, product.dtype
    error = (product.float() - want).abs().max().item()
    assert error <= 1.5 * torch.finfo(torch.bfloat16).eps, f"bfloat16 scores are off by {error}"


def batch_by_batch(device: torch.device) -> None:
    queries, keys = (part.to(device) for part in hard_vectors.normal(64, 60_000, 96, generator(35)))
    parts = [fastret.search(queries[i : i + 7], keys, 20) for i in range(0, 64, 7)]
    scores, ids = (torch.cat(part) for part in zip(*parts, strict=True))
    same((scores, ids), fastret.search(queries, keys, 20), "one batch")


def within_memory(device: torch.device) -> None:
    many = torch.randn(20_000, 8, device=device)
    labels = torch.arange(20_000, device=device) % 100
    mining = {"query_labels": labels, "key_labels": labels}
    for op, limit_mib in (
        (lambda: fastret.search(many, many, 10), 1100),
        (lambda: fastret.mine_hard_negatives(many, many, 10, **mining), 1100),
    ):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        op()
        used_mib = (torch.cuda.max_memory_allocated() - before) / 2**20
        assert used_mib < limit_mib, f"20000 x 20000 took {used_mib:.0f} MiB; the scores alone are 1526 MiB"


def beyond_2_to_31_elements(device: torch.device) -> None:
    rows, dim = (1 << 31) // 512 + 1000, 512
    far = torch.zeros(rows, dim, dtype=torch.float16, device=device)
    planted = torch.tensor([0, 5, rows // 2, rows - 900, rows - 1], device=device)
    far[planted, dim - 1] = torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0], dtype=torch.float16, device=device)
    query = torch.zeros(1, dim, dtype=torch.float16, device=device)
    query[0, dim - 1] = 1.0
    scores, ids = fastret.search(query, far, 5)
    assert ids[0].tolist() == planted[[1, 3, 4, 2, 0]].tolist(), ids
    assert scores[0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0], scores
    _, columns = fastret.select_k(far.view(1, -1), 5)
    assert columns[0].tolist() == (planted[[1, 3, 4, 2, 0]] * dim + dim - 1).tolist(), columns
    units = unit_rows(far)
    assert units[planted, dim - 1].eq(1).all() and units.count_nonzero() == 5


def ids_beyond_2_to_32(device: torch.device) -> None:
    far = 1 << 32
    keys = torch.empty(far + 100, 0, device=device)  # no elements: every score is 0
    allowed = torch.zeros(far + 100, dtype=torch.bool, device=device)
    allowed[[far + 5, far + 70, far + 99]] = True
    excluded = torch.tensor([[far + 5, -1], [5, 70]], device=device)
    scores, ids = fastret.search(torch.empty(2, 0, device=device), keys, 2, allowed=allowed, excluded=excluded)
    assert ids.tolist() == [[far + 70, far + 99], [far + 5, far + 70]], ids
    assert not scores.any(), scores


def filters_elsewhere_are_refused(device: torch.device) -> None:
    queries, keys = (part.to(device) for part in hard_vectors.normal(4, 60, 8, generator(36)))
    for name, tensor in (("allowed", torch.ones(60, dtype=torch.bool)), ("excluded", torch.ones(4, 1).long())):
        try:
            torch.ops.fastret.search(queries, keys, 20, 0, **{name: tensor})
        except RuntimeError as error:
            assert f"search: {name} must be on the device of the queries" in str(error), error
        else:
            raise AssertionError(f"{name} on the CPU was taken")


def of_both_kernels(device: torch.device) -> Checks:
    """The Hopper kernel finds what the portable one finds."""
    if not has_hopper_kernel():
        return
    for family in MANY:
        for num_queries, num_keys, dim in ((1, 9000, 64), (5, 9000, 100), (70, 3000, 768), (300, 9000, 130)):
            for metric in METRICS:
                inputs = [part.to(device) for part in family(num_queries, num_keys, dim, generator(37))]

                def compared(inputs=inputs, metric=metric) -> None:  # type: ignore[no-untyped-def]
                    answers = {}
                    for kernel in BOTH:
                        with search_kernel(kernel):
                            found = fastret.search(*inputs, 20, metric)
                            planes = fastret.search(inputs[0], fastret.pack(inputs[1], metric=metric), 20, metric)
                        answers[kernel] = (*found, *planes)
                    same(answers["hopper"], answers["portable"], "the portable kernel")

                sizes = f"Q={num_queries} N={num_keys} D={dim}"
                yield f"Hopper kernel, {family.__name__}, {sizes}, {metric}", compared
