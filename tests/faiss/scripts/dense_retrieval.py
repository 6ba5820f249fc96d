"""Evaluate dense retrieval: an index of passages on all GPUs, a search of questions, recall and reciprocal ranks."""

import argparse
import tempfile

import faiss
import numpy as np


def embeddings(n, seed, noise=0.0, base=None):
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, 48)) if base is None else base + noise * random.standard_normal(base.shape)
    return x.astype("float32")


parser = argparse.ArgumentParser()
parser.add_argument("--passages", type=int, default=3000)
parser.add_argument("--k", type=int, default=20)
parser.add_argument("--use-gpu", action="store_true")
args = parser.parse_args()

faiss.omp_set_num_threads(2)
passages = embeddings(args.passages, 0)
questions = embeddings(200, 1, 2.0, passages[:200])
faiss.normalize_L2(passages)
faiss.normalize_L2(questions)

index = faiss.IndexIDMap(faiss.IndexFlatIP(passages.shape[1]))
ids = np.arange(args.passages) * 3 + 5
for first in range(0, args.passages, 1000):
    index.add_with_ids(passages[first : first + 1000], ids[first : first + 1000])
with tempfile.TemporaryDirectory() as folder:
    faiss.write_index(index, f"{folder}/passages.index")
    index = faiss.read_index(f"{folder}/passages.index")
if args.use_gpu and faiss.get_num_gpus() > 0:
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    options.useFloat16 = True
    index = faiss.index_cpu_to_all_gpus(index, co=options)

scores, found = index.search(questions, args.k)
ranks = (found == ids[:200, None]).argmax(axis=1)
hit = (found == ids[:200, None]).any(axis=1)
print(f"passages {index.ntotal}, dimension {index.d}")
for k in (1, 5, args.k):
    print(f"R@{k}: {np.mean(hit & (ranks < k)):.4f}")
print(f"MRR@{args.k}: {np.mean(hit / (ranks + 1)):.4f}")
print(f"mean score of the best: {scores[:, 0].mean():.4f}")
