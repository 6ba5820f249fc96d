"""What a single search may be told: FAISS's SearchParameters and its kinds."""

from __future__ import annotations

from typing import Any, TypeVar

from .selectors import IDSelector
from .struct import FaissObject


class SearchParameters(FaissObject):
    """sel: an IDSelector, the only ids that the search may find, or None.

    Fields are given as keywords; one that is not there is an AssertionError, as in FAISS.
    """

    sel: IDSelector | None = None

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            if name.startswith("_") or not hasattr(type(self), name):
                raise AssertionError(f"{type(self).__name__}: there is no parameter {name!r}")
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "sel" and value is not None and not isinstance(value, IDSelector):
            raise TypeError(f"{type(self).__name__}: sel must be an IDSelector or None, got {type(value).__name__}")
        super().__setattr__(name, value)


class SearchParametersIVF(SearchParameters):
    """nprobe: lists to search. max_codes: stop behind the list that reaches so many vectors (0: never)."""

    nprobe: int = 1
    max_codes: int = 0
    max_lists_num: int = 0
    max_empty_result_buckets: int = 0
    ensure_topk_full: bool = False
    quantizer_params: SearchParameters | None = None
    inverted_list_context: Any = None


IVFSearchParameters = SearchParametersIVF


class IVFPQSearchParameters(SearchParametersIVF):
    scan_table_threshold: int = 0
    polysemous_ht: int = 0


class SearchParametersHNSW(SearchParameters):
    """efSearch: how many candidates a search keeps in view."""

    efSearch: int = 16
    check_relative_distance: bool = True
    bounded_queue: bool = True


class SearchParametersPQ(SearchParameters):
    search_type: int = 0
    polysemous_ht: int = 0


class SearchParametersPreTransform(SearchParameters):
    """index_params: those of the index behind the transforms."""

    index_params: SearchParameters | None = None


class IndexRefineSearchParameters(SearchParameters):
    """k_factor: how many times k the base index is asked for. base_index_params: what it is told."""

    k_factor: float = 1.0
    base_index_params: SearchParameters | None = None


class SearchParametersResidualCoarseQuantizer(SearchParameters):
    beam_factor: float = 4.0


_P = TypeVar("_P", bound=SearchParameters)


def parameters_of_kind(operation: str, params: SearchParameters | None, kind: type[_P]) -> _P | None:
    """Parameters of an index that needs those of a kind; a RuntimeError, as in FAISS, for another."""
    if params is not None and not isinstance(params, kind):
        raise RuntimeError(f"{operation}: params must be {kind.__name__}, got {type(params).__name__}")
    return params


def search_with_parameters(index: Any, x: Any, k: int, params: SearchParameters | None = None) -> tuple[Any, Any]:
    """index.search(x, k, params=params). FAISS's `output_stats` is not there: searches keep no counts."""
    D, I = index.search(x, k, params=params)  # noqa: E741
    return D, I


def range_search_with_parameters(
    index: Any, x: Any, radius: float, params: SearchParameters | None = None
) -> tuple[Any, Any, Any]:
    """index.range_search(x, radius, params=params). FAISS's `output_stats` is not there: searches keep no counts."""
    lims, D, I = index.range_search(x, radius, params=params)  # noqa: E741
    return lims, D, I
