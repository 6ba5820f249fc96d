"""What scripts do with FAISS's objects beyond add and search, each printed: the same under any implementation."""

import pickle
import tempfile
import warnings
from pathlib import Path

import faiss
import numpy as np

warnings.simplefilter("ignore")
x = np.random.RandomState(0).randn(1000, 16).astype("float32")
queries = x[:5]


def trained(key, metric=faiss.METRIC_L2):
    index = faiss.index_factory(16, key, metric)
    index.train(x)
    index.add(x)
    return index


def clusters_with_replicas():
    index = faiss.IndexReplicas()
    parts = [faiss.IndexFlatL2(16) for _ in range(2)]
    for part in parts:
        index.addIndex(part)
    clustering = faiss.Clustering(16, 8)
    clustering.niter = 5
    clustering.train(x, index)
    objectives = [clustering.iteration_stats.at(i).obj for i in range(clustering.iteration_stats.size())]
    return np.round(objectives, 1).tolist(), faiss.vector_float_to_array(clustering.centroids).sum().round(2)


def codes_of_the_only_list():
    index = faiss.IndexPreTransform(faiss.NormalizationTransform(16), faiss.index_factory(16, "IVF1,PQ4x4np"))
    index.train(x)
    index.add(x)
    ivf = faiss.downcast_index(index.index)
    invlists = faiss.extract_index_ivf(index).invlists
    size, code_size = invlists.list_size(0), invlists.code_size
    codes = faiss.rev_swig_ptr(invlists.get_codes(0), size * code_size).reshape(size, code_size)
    reader = faiss.BitstringReader(faiss.swig_ptr(codes[0].copy()), code_size)
    centroids = faiss.vector_to_array(ivf.pq.centroids).reshape(ivf.pq.M, ivf.pq.ksub, ivf.pq.dsub)
    return codes.shape, [reader.read(4) for _ in range(4)], codes[0].tolist(), centroids.shape


def batches_into_an_inverted_file():
    index = faiss.index_factory(16, "IVF10,Flat")
    faiss.extract_index_ivf(index).nprobe = 3
    index.train(x)
    for first in range(0, len(x), 300):
        index.add(x[first : first + 300])
    return index.nprobe, index.search(queries, 4)[1].tolist()


def centroids_of_the_quantizer():
    index = trained("IVF4,PQ4x4")
    pointer = faiss.downcast_index(index.quantizer).get_xb()
    same = np.array_equal(faiss.rev_swig_ptr(pointer, 64).reshape(4, 16), index.quantizer.reconstruct_n(0, 4))
    return index.quantizer.ntotal, same


def ids_of_ones_own():
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(16))
    index.add_with_ids(x, np.arange(1000) * 2)
    removed = index.remove_ids(faiss.IDSelectorRange(0, 100))
    return removed, index.ntotal, faiss.vector_to_array(index.id_map)[:3].tolist(), index.search(queries, 2)[1].tolist()


def a_graph():
    index = faiss.IndexHNSWFlat(16, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 80, 64
    index.add(x)
    return index.search(queries, 2)[1].tolist(), index.hnsw.max_level >= 0


def selected_ids():
    flat, ivf = trained("Flat"), trained("IVF4,Flat")
    batch = faiss.SearchParameters(sel=faiss.IDSelectorBatch([3, 5, 7]))
    some = faiss.SearchParametersIVF(sel=faiss.IDSelectorArray(np.arange(10)), nprobe=4)
    return flat.search(queries, 4, params=batch)[1].tolist(), ivf.search(queries, 4, params=some)[1].tolist()


def files_and_pickles():
    index = trained("IVF4,PQ4x4")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "index")
        faiss.write_index(index, path)
        mapped = faiss.read_index(path, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        size = Path(path).stat().st_size
        found = mapped.search(queries, 1)[1].tolist()
        del mapped
    return size, found, pickle.loads(pickle.dumps(index)).ntotal


def parts_merged():
    first = faiss.index_factory(16, "IVF4,Flat")
    first.train(x)
    second = faiss.clone_index(first)
    first.add(x[:500])
    second.add(x[500:])
    first.merge_from(second, 500)
    return first.ntotal, second.ntotal, first.search(queries, 1)[1].ravel().tolist()


def parameters_by_name():
    index = trained("PCA8,IVF4,SQ8")
    faiss.ParameterSpace().set_index_parameters(index, "nprobe=3")
    return faiss.extract_index_ivf(index).nprobe, type(index).__name__


def spherical_clusters():
    kmeans = faiss.Kmeans(16, 5, niter=4, nredo=2, gpu=True, spherical=True, seed=3, min_points_per_centroid=1)
    return round(float(kmeans.train(x)), 2), kmeans.centroids.shape, len(kmeans.obj), kmeans.assign(x[:3])[1].tolist()


def a_heap_of_results():
    heap = faiss.ResultHeap(2, 3)
    heap.add_result(np.float32([[3, 1], [2, 5]]), np.array([[1, 2], [3, 4]]))
    heap.add_result(np.float32([[2, 9], [7, 1]]), np.array([[11, 12], [13, 14]]))
    heap.finalize()
    return heap.D.tolist(), heap.I.tolist()


def vectors_come_back():
    index = trained("IVF4,Flat")
    index.make_direct_map()
    found = index.search_and_reconstruct(queries, 2)[2]
    return np.array_equal(index.reconstruct(5), x[5]), np.array_equal(index.reconstruct_n(0, 9), x[:9]), found.shape


def mistakes():
    kinds = []
    for mistake in (
        lambda: faiss.IndexFlatL2(16).search(x[:, :3], 2),
        lambda: faiss.IndexFlatL2(16).search(x[0], 2),
        lambda: faiss.IndexFlatL2(16).search(x, 0),
        lambda: setattr(faiss.IndexFlatL2(3), "nprobe", 3),
        lambda: faiss.IndexIVFFlat(faiss.IndexFlatL2(16), 16, 4).add(x),
        lambda: faiss.IndexIDMap(faiss.IndexFlatL2(16)).add(x),
        lambda: faiss.read_index("no/such/file"),
        lambda: faiss.index_factory(16, "Flut"),
    ):
        try:
            mistake()
        except Exception as error:
            kinds.append(type(error).__name__)
    return kinds


for idiom in (
    clusters_with_replicas,
    codes_of_the_only_list,
    batches_into_an_inverted_file,
    centroids_of_the_quantizer,
    ids_of_ones_own,
    a_graph,
    selected_ids,
    files_and_pickles,
    parts_merged,
    parameters_by_name,
    spherical_clusters,
    a_heap_of_results,
    vectors_come_back,
    mistakes,
):
    print(f"{idiom.__name__}: {idiom()}")
