// The CUDA kernels: the contracts of kernels/canonical.h and kernels/params.h on device memory. Inputs are
// checked by the caller (csrc/ops/check.h). Work is queued on `stream`; nothing waits for the device or reads
// from it, so every call can be captured in a CUDA graph. Results depend on the inputs alone.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/planes.h"
#include "kernels/cuda/tiles.h"
#include "kernels/params.h"

namespace fastret::cuda {

// Fewer than kMostKeys keys: those of the parameters, or, where `planes` is not nullptr, these, of as many
// rows and dimensions. `workspace`: search_workspace_bytes of device memory, 16-byte aligned; never Q x N.
cudaError_t search(const SearchParams& params, const KeyPlanes* planes, void* workspace, cudaStream_t stream,
                   const SearchTuning& tuning = kSearchTuning);
int64_t search_workspace_bytes(const SearchParams& params, bool has_planes,
                               const SearchTuning& tuning = kSearchTuning);

// With a workspace of about so many bytes beside 16 for each key that comes without planes, and what long
// lists take to be sorted; more only where a single query needs it.
SearchTuning search_tuning_within(int64_t bytes);

// Rows made into planes: those of `rows` become rows 0 ... of the planes and facts.
struct SplitRowsParams {
  Rows rows;
  Metric metric;
  uint16_t* high;
  int16_t* low;  // or nullptr, of bfloat16 rows
  KeyFacts* facts;
};
cudaError_t split_rows(const SplitRowsParams& params, cudaStream_t stream);

// Fewer than 2^32 columns. `workspace`: select_k_workspace_bytes of device memory, 16-byte aligned.
cudaError_t select_k(const SelectKParams& params, void* workspace, cudaStream_t stream,
                     const SelectKTuning& tuning = kSelectKTuning);
int64_t select_k_workspace_bytes(const SelectKParams& params, const SelectKTuning& tuning = kSelectKTuning);

// `batch` matrices, `queries_stride` and `keys_stride` elements apart; scores [B, Q, N] contiguous.
struct Batch {
  int64_t size;
  int64_t queries_stride;
  int64_t keys_stride;
};
cudaError_t pairwise_scores(const PairwiseScoresParams& params, const Batch& batch, cudaStream_t stream);

cudaError_t pair_scores(const PairScoresParams& params, cudaStream_t stream);

cudaError_t unit_rows(const UnitRowsParams& params, cudaStream_t stream);
cudaError_t unit_rows_backward(const UnitRowsBackwardParams& params, cudaStream_t stream);

}  // namespace fastret::cuda
