"""Hugging Face datasets: indexes over a column and over arrays, saved and loaded."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import datasets
import faiss
import numpy as np

random = np.random.default_rng(0)
vectors = random.standard_normal((300, 16)).astype(np.float32)
queries = vectors[:20] + 0.3 * random.standard_normal((20, 16)).astype(np.float32)
answers: dict[str, object] = {}

data = datasets.Dataset.from_dict({"name": [f"item {i}" for i in range(300)], "embedding": vectors.tolist()})
data.add_faiss_index("embedding", index_name="flat")
data.add_faiss_index("embedding", index_name="ip", metric_type=faiss.METRIC_INNER_PRODUCT, batch_size=70)
data.add_faiss_index("embedding", index_name="factory", string_factory="PCA8,Flat", train_size=300)
data.add_faiss_index("embedding", index_name="ivf", string_factory="IVF8,Flat", train_size=300, faiss_verbose=False)
data.add_faiss_index("embedding", index_name="custom", custom_index=faiss.IndexHNSWFlat(16, 16))
data.add_faiss_index_from_external_arrays(vectors * 2, "external", string_factory="Flat")
data.get_index("ivf").faiss_index.nprobe = 8
for name in data.list_indexes():
    scores, examples = data.get_nearest_examples_batch(name, queries, k=4)
    answers[name] = {"scores": [s.tolist() for s in scores], "names": [e["name"] for e in examples]}
    total = data.search_batch(name, queries, k=3)
    answers[f"{name} ids"] = total.total_indices.tolist()
one = data.get_nearest_examples("flat", queries[0], k=2)
answers["one"] = [one.scores.tolist(), one.examples["name"]]

with tempfile.TemporaryDirectory() as folder:
    for name in ("flat", "ivf", "custom"):
        data.save_faiss_index(name, Path(folder) / name)
        data.load_faiss_index(f"{name} again", Path(folder) / name)
    data.get_index("ivf again").faiss_index.nprobe = 8
    for name in ("flat", "ivf", "custom"):
        answers[f"{name} loaded"] = data.search_batch(f"{name} again", queries, k=3).total_indices.tolist()

print(json.dumps(answers))
