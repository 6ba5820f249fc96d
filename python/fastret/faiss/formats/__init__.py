"""FAISS's file formats: streams, the register of kinds, and one module per family of indexes."""
