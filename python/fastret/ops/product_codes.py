"""Product quantization (Jegou, Douze, Schmid: Product quantization for nearest neighbor search, TPAMI 2011).

A row of D dimensions is cut into M sub-vectors; each is stored as the number of its nearest among K = 2^nbits
centroids. Codes are packed as FAISS packs them: code m is the bits from m * nbits on, lowest bit first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .arrays import check_k


class CodeLists(NamedTuple):
    """Product codes in one arena, where list l is rows starts[l] ... starts[l] + sizes[l] - 1."""

    codes: Tensor  # [capacity, ceil(M nbits / 8)] uint8
    ids: Tensor | None  # [capacity] int64; None: the positions
    starts: Tensor  # [L] int64
    sizes: Tensor  # [L] int64
    offsets: Tensor | None = None  # [capacity] float32, added to the score of a row

    @staticmethod
    def of_all(codes: Tensor) -> CodeLists:
        """One list of all rows of codes, whose ids are their numbers."""
        return CodeLists(codes, None, torch.tensor([0]), torch.tensor([len(codes)]))


def encode_product_codes(rows: Tensor, centroids: Tensor, nbits: int) -> Tensor:
    """The codes of each row: of every sub-space the nearest centroid, of equally near ones the smaller.

    Equivalent to `pack(torch.cdist(sub_vectors, centroids).argmin(-1))`, the squared distances being float32 sums
    in the order of the dimensions.

    Args:
        rows: [N, D] float32.
        centroids: [M, 2^nbits, D / M] float32.
        nbits: bits of a code, 1 to 16.

    Returns:
        codes [N, ceil(M nbits / 8)] uint8.

    Raises:
        ValueError: shapes that do not fit each other, nbits out of range.
    """
    _check_centroids("encode_product_codes", centroids, nbits)
    _check_rows("encode_product_codes", rows, centroids)
    codes: Tensor = torch.ops.fastret.encode_product_codes(rows.contiguous(), centroids.contiguous(), nbits)
    return codes


def decode_product_codes(codes: Tensor, centroids: Tensor, nbits: int) -> Tensor:
    """The centroids that codes name, joined to rows [N, D] float32.

    Equivalent to `centroids[arange(M), unpack(codes)].flatten(1)`.

    Args:
        codes: [N, ceil(M nbits / 8)] uint8.
        centroids, nbits: as of `encode_product_codes`.

    Raises:
        ValueError: shapes that do not fit each other, nbits out of range.
    """
    _check_centroids("decode_product_codes", centroids, nbits)
    size = code_size(len(centroids), nbits)
    if codes.dim() != 2 or codes.shape[1] != size:
        raise ValueError(f"decode_product_codes: codes must be [N, {size}], got {list(codes.shape)}")
    rows: Tensor = torch.ops.fastret.decode_product_codes(codes.contiguous(), centroids.contiguous(), nbits)
    return rows


def product_tables(rows: Tensor, centroids: Tensor, nbits: int, squared_l2: bool) -> Tensor:
    """What each sub-vector of a query has with every centroid of its sub-space: a product or a squared distance.

    Equivalent to `torch.einsum("qmd,mcd->qmc", sub_vectors, centroids)`, or `torch.cdist(...) ** 2`, with float32
    sums in the order of the dimensions.

    Args:
        rows: [Q, D] float32.
        centroids, nbits: as of `encode_product_codes`.
        squared_l2: squared distances rather than products.

    Returns:
        tables [Q, M, 2^nbits] float32.

    Raises:
        ValueError: shapes that do not fit each other, nbits out of range.
    """
    _check_centroids("product_tables", centroids, nbits)
    _check_rows("product_tables", rows, centroids)
    tables: Tensor = torch.ops.fastret.product_tables(rows.contiguous(), centroids.contiguous(), nbits, squared_l2)
    return tables


def search_product_codes(
    tables: Tensor,
    lists: CodeLists,
    probes: Tensor,
    nbits: int,
    k: int,
    *,
    largest: bool,
    base: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor]:
    """The k best rows of the lists that each query probes.

    Equivalent to `torch.topk((tables[q, m, codes[:, m]].sum(m) + offsets) + base, k)` over those rows, the sum in
    float32 and in the order of m, with a fixed order of ties: the smaller id, then the smaller position.

    Args:
        tables: [Q, M, 2^nbits] float32, what an entry of each code adds to the score.
        lists: the rows.
        probes: [Q, P] int64, the numbers of lists, padded with -1.
        nbits: bits of a code, 1 to 16.
        k: rows per query, from 0 to any number.
        largest: the largest scores are best; otherwise the smallest.
        base: [Q, P] float32, added to the scores of the rows of a list.
        allowed: [capacity] bool, the rows that may be found.
        max_rows: each query visits so many rows at most, in the order of its probes; 0: any number.

    Returns:
        scores [Q, k] float32, best first, and the positions [Q, k] int64 of the rows in the arena; position -1 and
        the worst score where fewer are found. NaN is never found. The bits of the result depend neither on the
        instruction set nor on threads nor on which queries are searched together.

    Raises:
        ValueError: negative k. RuntimeError: arguments that do not fit each other.
    """
    arguments = (tables, *lists[:4], probes, nbits, check_k("search_product_codes", k), largest)
    scores, positions = torch.ops.fastret.search_product_codes(*arguments, base, lists.offsets, allowed, max_rows)
    return scores, positions


def range_search_product_codes(
    tables: Tensor,
    lists: CodeLists,
    probes: Tensor,
    nbits: int,
    threshold: float,
    *,
    largest: bool,
    base: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Every row that scores better than a threshold.

    Equivalent to `((tables[q, m, codes[:, m]].sum(m) + offsets) + base > threshold).nonzero()` (`<` unless
    `largest`). Arguments as of `search_product_codes`.

    Returns:
        lims [Q + 1] int64, scores float32 and positions int64: what query i found is at lims[i]:lims[i + 1], ids
        ascending.

    Raises:
        RuntimeError: arguments that do not fit each other.
    """
    arguments = (tables, *lists[:4], probes, nbits, float(threshold), largest, base, lists.offsets, allowed, max_rows)
    lims, scores, positions = torch.ops.fastret.range_search_product_codes(*arguments)
    return lims, scores, positions


def code_size(num_codes: int, nbits: int) -> int:
    """Bytes of a row of codes."""
    return (num_codes * nbits + 7) // 8


def _check_centroids(op: str, centroids: Tensor, nbits: int) -> None:
    if not 1 <= nbits <= 16:
        raise ValueError(f"{op}: nbits must be 1 to 16, got {nbits}")
    if centroids.dim() != 3 or centroids.shape[1] != 1 << nbits:
        raise ValueError(f"{op}: centroids must be [M, {1 << nbits}, D / M], got {list(centroids.shape)}")


def _check_rows(op: str, rows: Tensor, centroids: Tensor) -> None:
    dim = centroids.shape[0] * centroids.shape[2]
    if rows.dim() != 2 or rows.shape[1] != dim:
        raise ValueError(f"{op}: rows must be [N, {dim}], got {list(rows.shape)}")


@torch.library.register_fake("fastret::encode_product_codes")
def _(rows: Tensor, centroids: Tensor, nbits: int) -> Tensor:
    return rows.new_empty((rows.shape[0], code_size(centroids.shape[0], nbits)), dtype=torch.uint8)


@torch.library.register_fake("fastret::decode_product_codes")
def _(codes: Tensor, centroids: Tensor, nbits: int) -> Tensor:
    return centroids.new_empty((codes.shape[0], centroids.shape[0] * centroids.shape[2]))


@torch.library.register_fake("fastret::product_tables")
def _(rows: Tensor, centroids: Tensor, nbits: int, squared_l2: bool) -> Tensor:
    return rows.new_empty((rows.shape[0], *centroids.shape[:2]))


@torch.library.register_fake("fastret::search_product_codes")
def _(
    tables: Tensor,
    codes: Tensor,
    ids: Tensor | None,
    starts: Tensor,
    sizes: Tensor,
    probes: Tensor,
    nbits: int,
    k: int,
    largest: bool,
    base: Tensor | None = None,
    offsets: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor]:
    shape = (tables.shape[0], k)
    return tables.new_empty(shape), tables.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("fastret::range_search_product_codes")
def _(
    tables: Tensor,
    codes: Tensor,
    ids: Tensor | None,
    starts: Tensor,
    sizes: Tensor,
    probes: Tensor,
    nbits: int,
    threshold: float,
    largest: bool,
    base: Tensor | None = None,
    offsets: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        tables.new_empty((tables.shape[0] + 1,), dtype=torch.int64),
        tables.new_empty((found,)),
        tables.new_empty((found,), dtype=torch.int64),
    )
