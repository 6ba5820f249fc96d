"""LangChain's FAISS vector store: build, filter, diversify, delete, merge, save and load."""

from __future__ import annotations

import json
import tempfile

import faiss
from langchain_community.docstore.in_memory import InMemoryDocstore
from langchain_community.embeddings import DeterministicFakeEmbedding
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy

texts = [f"text number {i}" for i in range(80)]
metadata = [{"part": i % 4} for i in range(80)]
embedding = DeterministicFakeEmbedding(size=24)
answers: dict[str, object] = {"faiss": faiss.__version__}


def shown(found: list) -> list:
    return [[pair[0].page_content, float(pair[1])] if isinstance(pair, tuple) else pair.page_content for pair in found]


for strategy in DistanceStrategy.EUCLIDEAN_DISTANCE, DistanceStrategy.MAX_INNER_PRODUCT:
    name = strategy.value
    store = FAISS.from_texts(
        texts, embedding, metadata, ids=[str(i) for i in range(80)], distance_strategy=strategy, normalize_L2=True
    )
    answers[name] = shown(store.similarity_search_with_score("a question", k=6))
    answers[f"{name}, filtered"] = shown(store.similarity_search("a question", k=4, filter={"part": 2}, fetch_k=60))
    answers[f"{name}, near"] = shown(store.similarity_search_with_score("a question", k=9, score_threshold=1.6))
    answers[f"{name}, diverse"] = shown(store.max_marginal_relevance_search("a question", k=5, fetch_k=20))
    store.delete([str(i) for i in range(0, 80, 3)])
    store.add_texts(["one more", "text number 3"], [{"part": 9}] * 2)
    other = FAISS.from_texts(["of another store"], embedding, distance_strategy=strategy)
    store.merge_from(other)
    answers[f"{name}, changed"] = shown(store.similarity_search_with_score("a question", k=12))
    answers[f"{name}, size"] = [store.index.ntotal, other.index.ntotal]
    with tempfile.TemporaryDirectory() as folder:
        store.save_local(folder)
        loaded = FAISS.load_local(
            folder, embedding, allow_dangerous_deserialization=True, distance_strategy=strategy, normalize_L2=True
        )
    answers[f"{name}, loaded"] = shown(loaded.similarity_search_with_score("a question", k=12))
    again = FAISS.deserialize_from_bytes(store.serialize_to_bytes(), embedding, allow_dangerous_deserialization=True)
    answers[f"{name}, from bytes"] = shown(again.similarity_search("a question", k=3))

store = FAISS(embedding, faiss.IndexHNSWFlat(24, 16), InMemoryDocstore(), {})
store.add_texts(texts)
answers["graph"] = shown(store.similarity_search_with_score("a question", k=5))
answers["retriever"] = shown(store.as_retriever(search_kwargs={"k": 3}).invoke("a question"))

print(json.dumps(answers))
