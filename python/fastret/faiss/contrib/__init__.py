"""FAISS's contrib modules, as programs use them."""
