"""FAISS's contrib modules for torch tensors."""
