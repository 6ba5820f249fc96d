"""mteb: its FAISS search index, by itself and in a retrieval task, and its cache of embeddings."""

from __future__ import annotations

import json
import tempfile
from types import SimpleNamespace

import faiss
import numpy as np
from mteb.models.cache_wrappers.cache_backends import FaissCache
from mteb.models.model_meta import ScoringFunction
from mteb.models.search_encoder_index.search_indexes import FaissSearchIndex

random = np.random.default_rng(0)
documents = random.standard_normal((200, 24)).astype(np.float32)
queries = random.standard_normal((15, 24)).astype(np.float32)
names = [f"document {i}" for i in range(200)]
answers: dict[str, object] = {"faiss": faiss.__version__}

for function in (ScoringFunction.DOT_PRODUCT, ScoringFunction.COSINE, ScoringFunction.EUCLIDEAN):
    model = SimpleNamespace(mteb_model_meta=SimpleNamespace(similarity_fn_name=function))
    backend = FaissSearchIndex(model)
    backend.add_documents(documents[:120], names[:120])
    backend.add_documents(documents[120:], names[120:])
    top_ranked = {f"query {i}": list(random.choice(names, 9, replace=False)) for i in range(15)}
    ids = {i: f"query {i}" for i in range(15)}
    answers[function.value] = backend.search(queries, 7, None)
    answers[f"{function.value}, more than there are"] = backend.search(queries[:2], 500, None)
    answers[f"{function.value}, reranked"] = backend.search(queries, 5, None, top_ranked, ids)
    backend.clear()

with tempfile.TemporaryDirectory() as folder:
    items = [{"text": f"text {i}"} for i in range(20)]
    cache = FaissCache(folder)
    cache.add(items[:12], documents[:12])
    cache.add(items[12:], documents[12:20])
    cache.save()
    loaded = FaissCache(folder)
    answers["cached"] = [[item in loaded, loaded.get_vector(item).tolist()] for item in items]
    answers["not cached"] = loaded.get_vector({"text": "another"})
    del cache, loaded  # they write once more

print(json.dumps(answers))
