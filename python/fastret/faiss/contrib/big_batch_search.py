"""FAISS has this module, fastret.faiss not: importing it says what to use instead."""

raise ImportError(
    "fastret.faiss has no contrib.big_batch_search: use index.search, which takes batches of any size, instead, or "
    "real faiss: pip install faiss-cpu, import faiss"
)
