"""The native module. Importing it registers torch.ops.fastret.*"""

from typing import Any

from numpy import float32, int32, int64, uint8
from numpy.typing import NDArray

class RowSearcher:
    """Searches of all rows, as of `fastret.ops.search_lists`, with less work per call.

    Arrays are held, not copied: codes [N, bytes] uint8 of a codec and, where it has them, ranges [2, D] float32. Raises
    ValueError for others.
    """

    def __init__(
        self, codes: NDArray[uint8], dim: int, metric: int, codec: int, ranges: NDArray[float32] | None = None
    ) -> None: ...
    def search(self, x: Any, k: Any) -> tuple[NDArray[float32], NDArray[int64]] | None:
        """Scores and ids [Q, k], padded as FAISS pads. None where x is no contiguous float32 [Q, D] array."""

class HammingSearcher:
    """Searches of all codes, as of `fastret.ops.hamming_search`, with less work per call.

    codes [N, B] uint8 are held, not copied.
    """

    def __init__(self, codes: NDArray[uint8]) -> None: ...
    def search(self, queries: NDArray[uint8], k: Any) -> tuple[NDArray[float32], NDArray[int64]] | None:
        """Distances as float32 and ids [Q, k] of queries [Q, B] uint8, padded as FAISS pads; None where k < 1."""

class GraphSearcher:
    """Searches of a graph, as of `fastret.ops.hnsw.hnsw_search`, with less work per call.

    Arrays are held, not copied: vectors [N, D] float32 and the tables of an `HnswGraph`. Raises ValueError for others.
    """

    def __init__(
        self,
        vectors: NDArray[float32],
        offsets: NDArray[int64],
        level_starts: NDArray[int32],
        neighbors: NDArray[int32],
        entry: NDArray[int32],
        metric: int,
    ) -> None: ...
    def search(
        self, x: Any, k: Any, ef: Any, check_relative_distance: bool
    ) -> tuple[NDArray[float32], NDArray[int64], int, int, int, int] | None:
        """Scores and ids [Q, k], padded as FAISS pads, then searches, those that looked at all candidates, distances
        and hops. None where x is no contiguous float32 [Q, D] array, k or ef no positive int.
        """

class ListSearcher:
    """Searches of few queries [Q, D] through inverted lists of rows, by one call.

    Arrays are held, not copied: coarse [L, D] float32, of coarse_metric, whose nearest lists are visited; codes
    [N, bytes] uint8 of a codec, ids [N], starts and sizes [L] int64, and where the codec has them ranges [2, D] and
    centroids [L, D] float32. Raises ValueError for others.
    """

    def __init__(
        self,
        coarse: NDArray[float32],
        coarse_metric: int,
        codes: NDArray[uint8],
        ids: NDArray[int64],
        starts: NDArray[int64],
        sizes: NDArray[int64],
        metric: int,
        codec: int,
        ranges: NDArray[float32] | None = None,
        centroids: NDArray[float32] | None = None,
    ) -> None: ...
    def search(
        self, x: Any, k: Any, nprobe: int, max_rows: int
    ) -> tuple[NDArray[float32], NDArray[int64], int, int, int, int] | None:
        """Scores and ids [Q, k], padded as FAISS pads, then lists visited that hold rows, rows in them, nanoseconds of
        finding the lists, and of all. None where x is no contiguous float32 [Q, D] array, or for many queries.
        """

class ProductColumns:
    """The centroids [M, 2^nbits, D / M] float32 of a product quantizer, as searches read them."""

    def __init__(self, centroids: NDArray[float32]) -> None: ...

class ListTerms:
    """What the rows of inverted lists add to the squared distances of every query, where their codes are of residuals:
    |y_R|^2 + 2 y_C.y_R of a row y_C + y_R in the list of centroid y_C.

    The arrays, as of ProductCodeSearcher, are held and must not change.
    """

    def __init__(
        self,
        columns: ProductColumns,
        codes: NDArray[uint8],
        ids: NDArray[int64],
        starts: NDArray[int64],
        sizes: NDArray[int64],
    ) -> None: ...
    @property
    def values(self) -> NDArray[float32]:
        """[N] float32, right for the lists that were made."""

    def missing(self, lists: NDArray[int64]) -> NDArray[int64]:
        """Those of the lists, int64 of any shape with -1 for none, that were not made, ascending."""

    def make(self, lists: NDArray[int64], centroids: NDArray[float32]) -> None:
        """Of lists [n] with centroids [n, D]."""

class Refinement:
    """Codes [N, bytes] uint8, of `columns`, of what the codes of rows leave, by their ids. They are held.

    A search finds k_factor times as many rows, and ranks them by what both codes stand for.
    """

    def __init__(self, columns: ProductColumns, codes: NDArray[uint8], k_factor: float) -> None: ...

class ProductCodeSearcher:
    """Searches of few queries [Q, D] through inverted lists of product codes, by one call.

    Arrays are held as by ListSearcher; codes are of `columns`, with by_residual of differences from coarse, and then
    with distances have terms, which are made as lists are visited. A refinement is for distances. Raises ValueError
    for others.
    """

    def __init__(
        self,
        coarse: NDArray[float32],
        coarse_metric: int,
        columns: ProductColumns,
        codes: NDArray[uint8],
        ids: NDArray[int64],
        starts: NDArray[int64],
        sizes: NDArray[int64],
        metric: int,
        by_residual: bool,
        terms: ListTerms | None = None,
        refinement: Refinement | None = None,
    ) -> None: ...
    def search(
        self, x: Any, k: Any, nprobe: int, max_rows: int
    ) -> tuple[NDArray[float32], NDArray[int64], int, int, int, int] | None:
        """As ListSearcher.search."""

def build_info() -> dict[str, str | bool]: ...
def get_isa() -> str:
    """The instruction set in use, one of available_isas()."""

def set_isa(name: str) -> None:
    """Use an instruction set from now on. Raises ValueError for one that this machine cannot run."""

def available_isas() -> list[str]:
    """The instruction sets that this build and this machine can run, slowest first."""

def cheapest_first_pass(num_queries: int, dim: int) -> str:
    """What a search of keys that are not packed begins with: int8, int16 or float32."""
