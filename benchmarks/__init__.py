"""Speed of fastret against FAISS and torch: `make bench`. See README.md in this folder."""
