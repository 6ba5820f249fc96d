"""Cluster features as self-supervised training does: PCA, whitening, k-means on a GPU, and what the clusters are."""

import sys

import faiss
import numpy as np

random = np.random.default_rng(0)
labels = np.arange(4000) % 20
features = (5 * random.standard_normal((20, 40))[labels] + random.standard_normal((4000, 40))).astype("float32")

pca = faiss.PCAMatrix(40, 16, -0.5)
pca.train(features)
assert pca.is_trained
reduced = pca.apply_py(features)
reduced /= np.linalg.norm(reduced, axis=1, keepdims=True)

kmeans = faiss.Kmeans(16, 20, niter=15, seed=7, gpu=True, spherical=False, max_points_per_centroid=200)
objective = kmeans.train(reduced)
distances, assigned = kmeans.index.search(reduced, 1)
sizes = np.bincount(assigned[:, 0], minlength=20)
purity = sum(np.bincount(labels[assigned[:, 0] == c]).max() for c in range(20) if sizes[c]) / len(labels)
print(f"objective {objective:.3f} after {len(kmeans.obj)} iterations")
print(f"purity {purity:.4f}, sizes {sizes.min()} to {sizes.max()}, mean distance {distances.mean():.5f}")

clustering = faiss.Clustering(16, 10)
clustering.seed = 5
clustering.niter = 8
clustering.max_points_per_centroid = 10000000
if "--gpu-index" in sys.argv:
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = False
    config.device = 0
    index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), 16, config)
else:
    index = faiss.IndexFlatL2(16)
clustering.train(reduced, index)
_, nearest = index.search(reduced, 1)
losses = [clustering.iteration_stats.at(i).obj for i in range(clustering.iteration_stats.size())]
centroids = faiss.vector_to_array(clustering.centroids).reshape(10, 16)
print(f"losses {losses[0]:.2f} to {losses[-1]:.2f}, norm {np.linalg.norm(centroids):.4f}")
print(f"assigned {np.bincount(nearest[:, 0]).tolist()}")
