"""The names of FAISS's GPU indexes."""
