// The schemas of torch.ops.fastret. Every backend adds only implementations. Python's wrappers, which most
// callers use, are in python/fastret/ops; metric is the index of ("ip", "cosine", "l2"), first_pass that of
// ("float32", "int16", "int8").
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(fastret, m) {
  // queries [Q, D], keys [N, D], allowed [N] bool, excluded [Q, E] int64 padded with -1, query_labels [Q] and
  // key_labels [N] int64 (a query does not find keys of its own label), ceilings [Q] float32 (nor keys that
  // score better) -> scores [Q, K] float32, ids [Q, K] int64
  m.def(
      "search(Tensor queries, Tensor keys, SymInt k, int metric, Tensor? allowed=None, Tensor? "
      "excluded=None, Tensor? query_labels=None, Tensor? key_labels=None, Tensor? ceilings=None) -> "
      "(Tensor, Tensor)");
  // search with packed keys, or with a first pass of the caller's choice (-1: the cheapest), that tells how
  // it went: -> scores and ids as above, rescored [Q] int64, first pass that answered [Q] int64 (-1: none).
  // axes [ceil(D / 32), D, 32] and defect: the principal axes of packed keys, whose panels then hold the
  // heads.
  m.def(
      "explained_search(Tensor queries, Tensor keys, SymInt k, int metric, int first_pass=-1, Tensor? "
      "panels=None, Tensor? facts=None, Tensor? frame=None, bool has_unbounded=True, Tensor? axes=None, "
      "Tensor? head_residuals=None, Tensor? tails=None, float defect=0, Tensor? allowed=None, Tensor? "
      "excluded=None, Tensor? query_labels=None, Tensor? key_labels=None, Tensor? ceilings=None) -> "
      "(Tensor, Tensor, Tensor, Tensor)");
  // The search of hard negatives, composed of search and pair_scores by python/fastret/ops: positives [Q, P]
  // int64 padded with -1, limits of scores and ranks; the other arguments as above -> scores and ids
  m.def(
      "mine_hard_negatives(Tensor queries, Tensor keys, SymInt k, int metric, int first_pass=-1, Tensor? "
      "panels=None, Tensor? facts=None, Tensor? frame=None, bool has_unbounded=True, Tensor? axes=None, "
      "Tensor? head_residuals=None, Tensor? tails=None, float defect=0, *, Tensor? allowed=None, Tensor? "
      "excluded=None, Tensor? query_labels=None, Tensor? key_labels=None, Tensor? positives=None, float? "
      "absolute_margin=None, float? relative_margin=None, float? min_score=None, float? max_score=None, "
      "SymInt range_min=0, SymInt? range_max=None) -> (Tensor, Tensor)");
  // -> lims [Q + 1] int64, scores float32, ids int64
  m.def(
      "range_search(Tensor queries, Tensor keys, float threshold, int metric, int first_pass=-1, Tensor? "
      "panels=None, Tensor? facts=None, Tensor? frame=None, bool has_unbounded=True, Tensor? axes=None, "
      "Tensor? head_residuals=None, Tensor? tails=None, float defect=0, Tensor? allowed=None, Tensor? "
      "excluded=None) -> (Tensor, Tensor, Tensor)");
  // keys [N, D] -> centre and direction [2, D] float32
  m.def("key_frame(Tensor keys, int metric) -> Tensor");
  // Packs keys[32 * first_panel:] into panels [P, steps, 32] int32 and facts [P, 5, 32] float32; with axes
  // the steps beyond the head go into tails, and head_residuals is [P, 32] float32.
  m.def(
      "pack_keys_(Tensor keys, int metric, int first_pass, Tensor frame, int first_panel, Tensor(a!) panels, "
      "Tensor(b!) facts, Tensor? axes=None, Tensor(c!)? head_residuals=None, Tensor(d!)? tails=None, float "
      "defect=0) -> ()");
  // rows [n, D] become the rows first, first + 1, ... of the planes high [capacity, D up to a multiple of 64]
  // uint16 and low, int16 of the same shape (bfloat16 rows need none), and of facts [capacity, 4] float32
  m.def(
      "split_rows_(Tensor rows, int metric, int first, Tensor(a!) high, Tensor(b!)? low, Tensor(c!) facts) "
      "-> ()");
  // search of the first num_keys rows of planes; workspace_bytes: the most memory beyond the result, 0: as is
  // best -> scores [Q, K] float32, ids [Q, K] int64
  m.def(
      "search_planes(Tensor queries, Tensor high, Tensor? low, Tensor facts, SymInt dim, SymInt num_keys, "
      "SymInt k, int metric, Tensor? allowed=None, Tensor? excluded=None, int workspace_bytes=0) -> (Tensor, "
      "Tensor)");
  // values [R, C] -> selected [R, K] of the same dtype, columns [R, K] int64
  m.def("select_k(Tensor values, SymInt k, bool largest) -> (Tensor, Tensor)");
  // queries [B, Q, D], keys [B, N, D] -> scores [B, Q, N] of out_dtype, or float32
  m.def("cosine_scores(Tensor queries, Tensor keys, int metric, ScalarType? out_dtype=None) -> Tensor");
  // queries [Q, D], keys [N, D], ids [Q, P] int64 -> canonical scores [Q, P] float32, NaN for ids of no key
  m.def("pair_scores(Tensor queries, Tensor keys, Tensor ids, int metric) -> Tensor");
  // queries [Q, D], keys [N, D] float32 -> scores [Q, N] float32 by an ExtraMetric
  // (kernels/cpu/extra_scores.h)
  m.def("extra_scores(Tensor queries, Tensor keys, int metric) -> Tensor");
  // rows [..., D] -> units [..., D] of out_dtype, or that of rows, and inverse norms [...] float64
  m.def("unit_rows(Tensor rows, ScalarType? out_dtype=None) -> (Tensor, Tensor)");
  // -> grad_rows [..., D] of the dtype of rows
  m.def("unit_rows_backward(Tensor grad_units, Tensor rows, Tensor inverse_norms) -> Tensor");
  // Product-quantized rows: M codes of nbits bits each; K = 2^nbits. rows [N, D], centroids [M, K, D / M] ->
  // codes [N, ceil(M nbits / 8)] uint8 of the nearest centroids
  m.def("encode_product_codes(Tensor rows, Tensor centroids, int nbits) -> Tensor");
  // Iterations of k-means of rows [N, D] float32, of weights [N] float32 or 1, from centroids [K, D]: I, or
  // fewer where an objective differs from the one before by at most its share `tolerance` or a cluster is
  // without weight -> means [K, D] of the rows nearest to each centroid and their weights [K] float32 of the
  // last one; the numbers of rows [I, K] int64 and the sums [I] of the squared distances of each; how many
  // there were, [] int64
  m.def(
      "kmeans_steps(Tensor rows, Tensor centroids, Tensor? weights, int max_iterations, "
      "float previous_objective, float tolerance) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  // codes -> rows [N, D] float32
  m.def("decode_product_codes(Tensor codes, Tensor centroids, int nbits) -> Tensor");
  // rows [Q, D] -> products, or squared distances, of their sub-vectors with centroids [Q, M, K] float32
  m.def("product_tables(Tensor rows, Tensor centroids, int nbits, bool squared_l2) -> Tensor");
  // tables [Q, M, K] float32; codes, ids [capacity] int64 (none: the positions) and lists of them by starts
  // and sizes [L] int64; probes [Q, P] int64 padded with -1; base [Q, P] and offsets [capacity] float32 are
  // added to the scores; allowed [capacity] bool; each query visits max_rows rows at most (0: any number) ->
  // scores [Q, k] float32 and positions [Q, k] int64 in the arena, of equal scores the smaller id first
  m.def(
      "search_product_codes(Tensor tables, Tensor codes, Tensor? ids, Tensor starts, Tensor sizes, Tensor "
      "probes, int nbits, SymInt k, bool largest, Tensor? base=None, Tensor? offsets=None, Tensor? "
      "allowed=None, int max_rows=0) -> (Tensor, Tensor)");
  // -> lims [Q + 1] int64, scores float32, positions int64
  m.def(
      "range_search_product_codes(Tensor tables, Tensor codes, Tensor? ids, Tensor starts, Tensor sizes, "
      "Tensor "
      "probes, int nbits, float threshold, bool largest, Tensor? base=None, Tensor? offsets=None, Tensor? "
      "allowed=None, int max_rows=0) -> (Tensor, Tensor, Tensor)");
  // A graph of vectors [N, D] float32 as FAISS holds it: offsets [N + 1] int64, level_starts [L + 1] and
  // neighbors int32, entry [2] int32 (a vector and its level, or -1). Links vectors[first:], which are on so
  // many levels [N] int32, into it. originals [N - first, D]: what these were, where they are decoded
  m.def(
      "hnsw_add_(Tensor vectors, int first, Tensor levels, Tensor offsets, Tensor level_starts, int metric, "
      "int ef_construction, float prune_headroom, bool keep_max_size_level0, Tensor(a!) neighbors, "
      "Tensor(b!) "
      "entry, Tensor? originals=None) -> ()");
  // -> scores [Q, K] float32, ids [Q, K] int64, and the numbers of searches, of those that exhausted their
  // candidates, of distances and of hops [4] int64
  m.def(
      "hnsw_search(Tensor queries, Tensor vectors, Tensor offsets, Tensor level_starts, Tensor neighbors, "
      "Tensor entry, SymInt k, int metric, int ef, bool check_relative_distance, Tensor? allowed=None) -> "
      "(Tensor, Tensor, Tensor)");
  // -> lims [Q + 1] int64, scores float32, ids int64, and the numbers
  m.def(
      "hnsw_range_search(Tensor queries, Tensor vectors, Tensor offsets, Tensor level_starts, Tensor "
      "neighbors, Tensor entry, float radius, int metric, int ef, bool check_relative_distance, Tensor? "
      "allowed=None) -> (Tensor, Tensor, Tensor, Tensor)");
  // queries [Q, B], keys [N, B] uint8, allowed [N] bool; ids [N], starts [L], sizes [L] and probes [Q, P]
  // int64, all or none: keys in inverted lists, of which a query visits its probes (-1: none) -> Hamming
  // distances [Q, K] int32, ids [Q, K] int64
  m.def(
      "hamming_search(Tensor queries, Tensor keys, SymInt k, Tensor? allowed=None, Tensor? ids=None, Tensor? "
      "starts=None, Tensor? sizes=None, Tensor? probes=None) -> (Tensor, Tensor)");
  // -> lims [Q + 1] int64, distances below the radius int32, ids int64
  m.def(
      "hamming_range_search(Tensor queries, Tensor keys, int radius, Tensor? allowed=None, Tensor? ids=None, "
      "Tensor? starts=None, Tensor? sizes=None, Tensor? probes=None) -> (Tensor, Tensor, Tensor)");
  // Inverted lists in one arena: codes [capacity, bytes] uint8 of rows of a codec (kernels/inverted_lists.h),
  // ids [capacity] int64, of list l the rows starts[l] ... starts[l] + sizes[l] - 1; queries [Q, D] float32
  // visit the lists probes [Q, P] int64, -1: none; codec_params [2, D] float32, centroids [L, D] float32 to
  // be added to the rows, allowed [capacity] bool; each query visits max_rows rows at most, 0: any number ->
  // scores [Q, K] float32, positions [Q, K] int64 in the arena, equal scores by id
  m.def(
      "search_lists(Tensor queries, Tensor codes, Tensor ids, Tensor starts, Tensor sizes, Tensor probes, "
      "SymInt k, int metric, int codec=0, Tensor? codec_params=None, Tensor? centroids=None, Tensor? "
      "allowed=None, SymInt max_rows=0) -> (Tensor, Tensor)");
  // -> lims [Q + 1] int64, scores float32, positions int64, of each query in the order of their ids
  m.def(
      "range_search_lists(Tensor queries, Tensor codes, Tensor ids, Tensor starts, Tensor sizes, Tensor "
      "probes, float threshold, int metric, int codec=0, Tensor? codec_params=None, Tensor? centroids=None, "
      "Tensor? allowed=None, SymInt max_rows=0) -> (Tensor, Tensor, Tensor)");
  // One tile of a contrastive loss between two matrix products (kernels/contrastive.h): scores [R, C]; scales
  // [2] float64 of positives and of others; bounds [2, R] int64 of each row's part of positives and excluded
  // [*] int64, columns from first_column on; judge [R, C] beside limits [R] float64 -> adds to stats [5, R]
  // float64; hardest [R, K] float32 and hardest_columns int64
  m.def(
      "contrastive_stats_(Tensor scores, Tensor scales, float margin, Tensor? positive_bounds, Tensor? "
      "positives, Tensor? excluded_bounds, Tensor? excluded, int first_column, Tensor? judge, Tensor? "
      "limits, "
      "Tensor(a!) stats, Tensor(b!)? hardest=None, Tensor(c!)? hardest_columns=None) -> ()");
  // The scores become their gradient; row_coefficients [4, R], column_coefficients [4, C], column_limits [C]
  // float64; adds to score_products [R] float64
  m.def(
      "contrastive_gradient_(Tensor(a!) scores, Tensor scales, float margin, Tensor? positive_bounds, "
      "Tensor? "
      "positives, Tensor? excluded_bounds, Tensor? excluded, int first_column, Tensor? judge, Tensor? "
      "limits, "
      "Tensor row_coefficients, Tensor? column_coefficients, Tensor? column_limits, Tensor(b!)? "
      "score_products) -> ()");
  // Of the pairwise sigmoid loss: bias [1], weights [R] float64; adds to losses, sums and score_products [R]
  // float64; with gradient the scores become it
  m.def(
      "sigmoid_tile_(Tensor(a!) scores, Tensor scales, Tensor bias, Tensor? positive_bounds, Tensor? "
      "positives, "
      "Tensor weights, Tensor(b!) losses, Tensor(c!) sums, Tensor(d!) score_products, bool gradient) -> ()");
}
