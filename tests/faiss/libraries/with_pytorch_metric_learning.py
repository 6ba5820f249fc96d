"""pytorch-metric-learning: nearest neighbours, k-means, accuracies and inference."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import faiss
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import FaissKMeans, FaissKNN, InferenceModel, run_pca

generator = torch.Generator().manual_seed(0)
centres = 4 * torch.randn(6, 16, generator=generator)
labels = torch.arange(180) % 6
embeddings = centres[labels] + torch.randn(180, 16, generator=generator)
answers: dict[str, object] = {"faiss": faiss.__version__}

for name, make in {"l2": faiss.IndexFlatL2, "ip": faiss.IndexFlatIP}.items():
    knn = FaissKNN(index_init_fn=make)
    for includes in (False, True):
        distances, ids = knn(embeddings[:40], 5, embeddings, includes)
        answers[f"{name} {includes}"] = [distances.tolist(), ids.tolist()]

with tempfile.TemporaryDirectory() as folder:
    knn = FaissKNN(reset_before=False, reset_after=False)
    knn.train(embeddings[:100])
    knn.add(embeddings[100:])
    knn.save(str(Path(folder) / "index"))
    knn.load(str(Path(folder) / "index"))
    answers["loaded"] = knn(embeddings[:9], 3, None)[1].tolist()

clusters = FaissKMeans(niter=10, seed=5)(embeddings, 6)
answers["clusters"] = clusters.tolist()
for options in ({}, {"k": 7}, {"k": "max_bin_count", "avg_of_avgs": True}):
    accuracy = AccuracyCalculator(kmeans_func=FaissKMeans(niter=10, seed=5), **options).get_accuracy(
        embeddings[:90], labels[:90], embeddings, labels, True
    )
    answers[f"accuracy {options}"] = accuracy

model = InferenceModel(torch.nn.Identity())
model.train_knn(embeddings)
answers["inference"] = model.get_nearest_neighbors(embeddings[:8], 4)[1].tolist()
projected = run_pca(embeddings, 4)
answers["pca distances"] = torch.cdist(projected[:5], projected[:5]).tolist()

print(json.dumps(answers))
