"""FAISS has this module, fastret.faiss not: importing it says what to use instead."""

raise ImportError(
    "fastret.faiss has no contrib.torch.quantization: use ProductQuantizer instead, which takes tensors, or real "
    "faiss: pip install faiss-cpu, import faiss"
)
