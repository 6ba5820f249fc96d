"""FAISS's names on fastret's search: `import fastret.faiss as faiss`.

Here are the flat indexes, knn, normalize_L2 and the files of flat indexes. Neighbours are exact and
reproducible, and of equal scores the smaller id comes first.
"""

from __future__ import annotations

from typing import NoReturn

from .distances import knn, normalize_L2
from .flat import IndexFlat, IndexFlatCodes, IndexFlatIP, IndexFlatL2
from .formats.stream import (
    IO_FLAG_MMAP,
    IO_FLAG_MMAP_IFC,
    IO_FLAG_ONDISK_SAME_DIR,
    IO_FLAG_PQ_SKIP_SDC_TABLE,
    IO_FLAG_READ_ONLY,
    IO_FLAG_SKIP_IVF_DATA,
    IO_FLAG_SKIP_PRECOMPUTE_TABLE,
    IO_FLAG_SKIP_STORAGE,
)
from .index import Index, downcast_index
from .index_io import clone_index, deserialize_index, read_index, serialize_index, write_index
from .metrics import (
    METRIC_COSINE,
    METRIC_GOWER,
    METRIC_INNER_PRODUCT,
    METRIC_L1,
    METRIC_L2,
    METRIC_BrayCurtis,
    METRIC_Canberra,
    METRIC_Jaccard,
    METRIC_JensenShannon,
    METRIC_Linf,
    METRIC_Lp,
    METRIC_NaNEuclidean,
    is_similarity_metric,
)
from .search_parameters import (
    IndexRefineSearchParameters,
    IVFPQSearchParameters,
    IVFSearchParameters,
    SearchParameters,
    SearchParametersHNSW,
    SearchParametersIVF,
    SearchParametersPQ,
    SearchParametersPreTransform,
    SearchParametersResidualCoarseQuantizer,
)
from .selectors import (
    IDSelector,
    IDSelectorAll,
    IDSelectorAnd,
    IDSelectorArray,
    IDSelectorBatch,
    IDSelectorBitmap,
    IDSelectorNot,
    IDSelectorOr,
    IDSelectorRange,
    IDSelectorTranslated,
    IDSelectorXOr,
    PyCallbackIDSelector,
)

__all__ = [
    "IO_FLAG_MMAP",
    "IO_FLAG_MMAP_IFC",
    "IO_FLAG_ONDISK_SAME_DIR",
    "IO_FLAG_PQ_SKIP_SDC_TABLE",
    "IO_FLAG_READ_ONLY",
    "IO_FLAG_SKIP_IVF_DATA",
    "IO_FLAG_SKIP_PRECOMPUTE_TABLE",
    "IO_FLAG_SKIP_STORAGE",
    "METRIC_COSINE",
    "METRIC_GOWER",
    "METRIC_INNER_PRODUCT",
    "METRIC_L1",
    "METRIC_L2",
    "IDSelector",
    "IDSelectorAll",
    "IDSelectorAnd",
    "IDSelectorArray",
    "IDSelectorBatch",
    "IDSelectorBitmap",
    "IDSelectorNot",
    "IDSelectorOr",
    "IDSelectorRange",
    "IDSelectorTranslated",
    "IDSelectorXOr",
    "IVFPQSearchParameters",
    "IVFSearchParameters",
    "Index",
    "IndexFlat",
    "IndexFlatCodes",
    "IndexFlatIP",
    "IndexFlatL2",
    "IndexRefineSearchParameters",
    "METRIC_BrayCurtis",
    "METRIC_Canberra",
    "METRIC_Jaccard",
    "METRIC_JensenShannon",
    "METRIC_Linf",
    "METRIC_Lp",
    "METRIC_NaNEuclidean",
    "PyCallbackIDSelector",
    "SearchParameters",
    "SearchParametersHNSW",
    "SearchParametersIVF",
    "SearchParametersPQ",
    "SearchParametersPreTransform",
    "SearchParametersResidualCoarseQuantizer",
    "clone_index",
    "deserialize_index",
    "downcast_index",
    "is_similarity_metric",
    "knn",
    "normalize_L2",
    "read_index",
    "serialize_index",
    "write_index",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"fastret.faiss has no {name!r}; real faiss can be used for it: pip install faiss-cpu, import faiss"
    )
