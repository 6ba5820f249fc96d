"""What FAISS counts in cvar.indexIVF_stats."""

from __future__ import annotations

from ..struct import FaissObject


class IndexIVFStats(FaissObject):
    """nq: queries. nlist: lists that were visited and not empty. ndis: vectors in them. Times are in milliseconds."""

    nq: int = 0
    nlist: int = 0
    ndis: int = 0
    nheap_updates: int = 0
    quantization_time: float = 0.0
    search_time: float = 0.0

    def reset(self) -> None:
        """Set every number to 0."""
        self.nq = self.nlist = self.ndis = self.nheap_updates = 0
        self.quantization_time = self.search_time = 0.0

    def _count(self, queries: int, lists: int, rows: int) -> None:
        # Past FaissObject.__setattr__, which looks up whether a field may be set.
        fields = self.__dict__
        fields["nq"] = self.nq + queries
        fields["nlist"] = self.nlist + lists
        fields["ndis"] = self.ndis + rows

    def _count_search(self, queries: int, lists: int, rows: int, quantization: int, search: int) -> None:
        """The times in nanoseconds."""
        self._count(queries, lists, rows)
        fields = self.__dict__
        fields["quantization_time"] = self.quantization_time + 1e-6 * quantization
        fields["search_time"] = self.search_time + 1e-6 * search

    def add(self, other: IndexIVFStats) -> None:
        """Add the numbers of another."""
        for name in IndexIVFStats.__annotations__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


indexIVF_stats = IndexIVFStats()
