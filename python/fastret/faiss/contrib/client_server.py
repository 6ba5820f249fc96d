"""FAISS has this module, fastret.faiss not: importing it says what to use instead."""

raise ImportError(
    "fastret.faiss has no contrib.client_server, which talks through sockets: use torch.distributed instead, or real "
    "faiss: pip install faiss-cpu, import faiss"
)
