"""product_code_searcher: what searches lists of product codes for few queries, by one native call each."""

from __future__ import annotations

from torch import Tensor

from .._C import ListTerms, ProductCodeSearcher, ProductColumns, Refinement
from .arrays import Metric, metric_index


def product_columns(centroids: Tensor) -> ProductColumns:
    """The centroids [M, 2^nbits, D / M] float32 of a product quantizer as searches read them; they must not change.

    Raises:
        ValueError: another number of centroids or axes.
    """
    return ProductColumns(centroids.contiguous().numpy())


def list_terms(columns: ProductColumns, codes: Tensor, ids: Tensor, starts: Tensor, sizes: Tensor) -> ListTerms:
    """What rows add to the squared distances of every query, where their codes are of residuals.

    A row is y_C + y_R, the centroid of its list and what its codes stand for, and |x - y_C - y_R|^2 is
    |x - y_C|^2 + (|y_R|^2 + 2 y_C.y_R) - 2 x.y_R: the base of a list, the term of a row, and a table of the query.
    Terms are made list by list. The tensors are those of `CodeLists`; they are held and must not change.

    Raises:
        ValueError: tensors of other shapes, or not contiguous.
    """
    return ListTerms(columns, codes.numpy(), ids.numpy(), starts.numpy(), sizes.numpy())


def refinement(columns: ProductColumns, codes: Tensor, k_factor: float) -> Refinement:
    """What ranks k_factor times as many rows as are asked for by exact squared distances.

    A row is what its codes stand for, and what codes [N, bytes] uint8 of `columns` do, at its id.

    Raises:
        ValueError: codes of another shape, or not contiguous.
    """
    return Refinement(columns, codes.numpy(), k_factor)


def product_code_searcher(
    coarse: Tensor,
    coarse_metric: Metric,
    columns: ProductColumns,
    codes: Tensor,
    ids: Tensor,
    starts: Tensor,
    sizes: Tensor,
    metric: Metric,
    by_residual: bool,
    terms: ListTerms | None = None,
    refinement: Refinement | None = None,
) -> ProductCodeSearcher:
    """A searcher of the lists whose centroids coarse [L, D] float32 are nearest to a query, by inner product or l2.

    Its answers are equivalent to `search_product_codes(product_tables(queries, ...), lists, search(queries, coarse,
    nprobe, coarse_metric)[1], ...)` with the ids of the rows for their positions, where infinitely bad lists and rows
    are none. With `by_residual` codes are of differences from the centroids of the lists, whose scores are the base;
    then l2 needs `terms`. With a `refinement`, which is for l2, its ranking is returned. Tensors are held: rows that
    change in place are searched as they are then.

    Raises:
        ValueError: tensors of other shapes than those of `CodeLists`, or not contiguous; cosine; terms without need,
            or none; a refinement without l2.
    """
    op = "product_code_searcher"
    if metric == "cosine":
        raise ValueError(f"{op}: metric must be ip or l2, got {metric}")
    if (terms is not None) != (by_residual and metric == "l2"):
        raise ValueError(f"{op}: terms must be given for l2 with by_residual, and only then")
    if refinement is not None and metric != "l2":
        raise ValueError(f"{op}: a refinement ranks by l2, got {metric}")
    lists = codes.numpy(), ids.numpy(), starts.numpy(), sizes.numpy()
    metrics = metric_index(op, coarse_metric), metric_index(op, metric)
    return ProductCodeSearcher(coarse.numpy(), metrics[0], columns, *lists, metrics[1], by_residual, terms, refinement)
