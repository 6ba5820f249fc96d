// The schemas of torch.ops.fastret. Every backend adds only implementations. Python's wrappers, which most
// callers use, are in python/fastret/ops; metric is the index of ("ip", "cosine", "l2").
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(fastret, m) {
  // queries [Q, D], keys [N, D] -> scores [Q, K] float32, ids [Q, K] int64
  m.def("search(Tensor queries, Tensor keys, SymInt k, int metric) -> (Tensor, Tensor)");
  // values [R, C] -> selected [R, K] of the same dtype, columns [R, K] int64
  m.def("select_k(Tensor values, SymInt k, bool largest) -> (Tensor, Tensor)");
  // queries [B, Q, D], keys [B, N, D] -> scores [B, Q, N] of out_dtype, or float32
  m.def("cosine_scores(Tensor queries, Tensor keys, int metric, ScalarType? out_dtype=None) -> Tensor");
}
