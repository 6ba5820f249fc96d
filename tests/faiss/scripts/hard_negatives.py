"""Mine hard negatives for contrastive training: an index on all GPUs, the nearest that are not positives."""

import random as python_random

import faiss
import numpy as np

random = np.random.default_rng(0)
python_random.seed(0)
corpus = random.standard_normal((2500, 64)).astype("float32")
queries = (corpus[:300] + 0.8 * random.standard_normal((300, 64))).astype("float32")
corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)

index = faiss.IndexFlatIP(corpus.shape[1])
options = faiss.GpuMultipleClonerOptions() if hasattr(faiss, "GpuMultipleClonerOptions") else None
if options is not None:
    options.shard = True
    options.useFloat16 = True
    index = faiss.index_cpu_to_all_gpus(index, co=options)
index.add(corpus)

negatives = []
for first in range(0, len(queries), 128):
    scores, found = index.search(queries[first : first + 128], 50)
    for row in range(len(found)):
        query = first + row
        limit = 0.95 * float(queries[query] @ corpus[query])
        pool = [i for i in found[row][scores[row] < limit].tolist() if i not in (-1, query)]
        negatives.append(python_random.sample(pool[5:45], 8))

print(f"queries {len(negatives)}, negatives {len({i for ids in negatives for i in ids})}")
print(f"first: {negatives[0]}")
print(f"checksum {sum((row + 1) * i for row, ids in enumerate(negatives) for i in ids)}")
