"""The coarse quantizer of an inverted file, and its training."""

from __future__ import annotations

from torch import Tensor

from ..clustering.clustering import Clustering, ClusteringParameters
from ..flat import IndexFlatL2
from ..index import Index
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2


class Level1Quantizer:
    """The coarse quantizer of an inverted file: `quantizer` holds `nlist` centroids, found by k-means over what the
    index is trained on.

    quantizer_trains_alone: 0: k-means with the quantizer itself, 1: the quantizer's own training, 2: k-means with a
    flat L2 index, whose centroids the quantizer is trained on. clustering_index: what k-means assigns with instead.
    """

    quantizer: Index | None = None
    nlist: int = 0
    quantizer_trains_alone: int = 0
    own_fields: bool = False
    clustering_index: Index | None = None
    cp: ClusteringParameters = ClusteringParameters()

    def _coarse(self) -> Index:
        if self.quantizer is None:
            raise RuntimeError(f"{type(self).__name__}: it has no quantizer")
        return self.quantizer

    def _has_centroids(self) -> bool:
        return self.quantizer is not None and self.quantizer.is_trained and self.quantizer.ntotal == self.nlist

    def _train_quantizer(self, rows: Tensor, metric_type: int) -> None:
        quantizer = self._coarse()
        if self._has_centroids():
            return
        if self.quantizer_trains_alone == 1:
            quantizer.train(rows)
            if quantizer.ntotal != self.nlist:
                raise RuntimeError(
                    f"{type(self).__name__}.train: the quantizer must come to {self.nlist} centroids, "
                    f"it holds {quantizer.ntotal}"
                )
            return
        clustering = Clustering(quantizer.d, self.nlist, self.cp)
        if self.quantizer_trains_alone == 0:
            quantizer.reset()
            clustering.train(rows, quantizer if self.clustering_index is None else self.clustering_index)
            if self.clustering_index is not None:
                quantizer.add(clustering._centroids)
            quantizer.is_trained = True
            return
        if metric_type != METRIC_L2 and not (metric_type == METRIC_INNER_PRODUCT and self.cp.spherical):
            raise RuntimeError(f"{type(self).__name__}.train: a quantizer trained on centroids needs L2")
        clustering.train(rows, IndexFlatL2(quantizer.d) if self.clustering_index is None else self.clustering_index)
        if not quantizer.is_trained:
            quantizer.train(clustering._centroids)
        quantizer.add(clustering._centroids)

    def coarse_code_size(self) -> int:
        """Bytes of the number of a list."""
        return ((self.nlist - 1).bit_length() + 7) // 8 if self.nlist else 0
