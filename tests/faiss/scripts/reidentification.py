"""Evaluate person re-identification with k-reciprocal re-ranking, as its code bases call FAISS on GPUs."""

import sys

import faiss
import numpy as np
import torch


def swig_ptr_from_FloatTensor(x):
    assert x.is_contiguous()
    assert x.dtype == torch.float32
    return faiss.cast_integer_to_float_ptr(x.untyped_storage().data_ptr() + x.storage_offset() * 4)


def swig_ptr_from_LongTensor(x):
    assert x.is_contiguous()
    assert x.dtype == torch.int64
    return faiss.cast_integer_to_idx_t_ptr(x.untyped_storage().data_ptr() + x.storage_offset() * 8)


def search_raw_array(res, xb, xq, k):
    """Brute force through pointers to tensors."""
    distances = torch.empty(len(xq), k)
    indices = torch.empty(len(xq), k, dtype=torch.int64)
    faiss.bruteForceKnn(
        res,
        faiss.METRIC_L2,
        swig_ptr_from_FloatTensor(xb),
        True,
        len(xb),
        swig_ptr_from_FloatTensor(xq),
        True,
        len(xq),
        xq.shape[1],
        k,
        swig_ptr_from_FloatTensor(distances),
        swig_ptr_from_LongTensor(indices),
    )
    return distances, indices


def index_on_gpus(ngpus, dimension):
    """One flat index per GPU, as shards."""
    indexes = []
    for device in range(ngpus):
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = False
        config.device = device
        indexes.append(faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), dimension, config))
    index = faiss.IndexShards(dimension)
    for sub_index in indexes:
        index.add_shard(sub_index)
    index.reset()
    return index


def initial_rank(features, k, option):
    if option == "raw":
        resources = faiss.StandardGpuResources()
        resources.setDefaultNullStreamAllDevices()
        return search_raw_array(resources, features, features, k)[1].numpy()
    dimension = features.shape[1]
    index = index_on_gpus(1, dimension) if option == "shards" else faiss.IndexFlatL2(dimension)
    index.add(features.numpy())
    return index.search(features.numpy(), k)[1]


option = sys.argv[1] if len(sys.argv) > 1 else "cpu"
random = np.random.default_rng(0)
people, cameras = 40, 6
labels = np.repeat(np.arange(people), cameras)
features = 1.2 * random.standard_normal((people, 32))[labels] + random.standard_normal((people * cameras, 32))
features = torch.nn.functional.normalize(torch.from_numpy(features.astype("float32")))

k1, k2 = 12, 4
ranks = initial_rank(features, k1, option)
reciprocal = [[j for j in ranks[i] if i in ranks[j]] for i in range(len(ranks))]
sets = np.zeros((len(ranks), len(ranks)), dtype="float32")
for i, members in enumerate(reciprocal):
    weights = np.exp(-np.square(features[members].numpy() - features[i].numpy()).sum(1))
    sets[i, members] = weights / weights.sum()
sets = np.stack([sets[ranks[i, :k2]].mean(0) for i in range(len(ranks))])
overlap = np.minimum(sets[:, None], sets[None]).sum(2)
distances = 1 - overlap / (2 - overlap)
np.fill_diagonal(distances, 2)

order = distances.argsort(axis=1, kind="stable")
matches = labels[order] == labels[:, None]
precisions = np.cumsum(matches, 1) / np.arange(1, len(order) + 1)
print(f"rank-1: {matches[:, 0].mean():.4f}")
print(f"rank-5: {matches[:, :5].any(1).mean():.4f}")
print(f"mAP: {np.mean((precisions * matches).sum(1) / matches.sum(1)):.4f}")
