#include "kernels/cuda/tighten.cuh"

#include "kernels/cuda/block_select.cuh"

namespace fastret::cuda {
namespace {

// Survivors of one query, as rank keys of their lower ends; position: their place.
struct LowerEnds {
  const TightenParams& p;
  const uint64_t* entries;
  QueryFacts query;

  __device__ Ends ends_of(uint64_t entry) const {
    return ends(value_of_key(entry), query, p.squared_extra, p.key_facts[position_of_key(entry)]);
  }

  __device__ uint64_t operator()(int64_t i) const {
    const Ends interval = ends_of(entries[i]);
    // One that may beat the ceiling may not be found: it excludes nothing.
    if (interval.upper > query.ceiling_low) return kNothing;
    return rank_key(ordered_bits(interval.lower), uint32_t(i));
  }
};

// One block per query, of the list or of all.
__global__ void __launch_bounds__(kThreads, 4) tighten_rows(TightenParams p) {
  __shared__ SelectionState state;
  if (p.list && blockIdx.x >= p.list[0]) return;
  const int64_t row = p.list ? p.list[1 + blockIdx.x] : blockIdx.x;
  const int64_t appended = p.survivors.counts[row];
  const int64_t size = appended < p.survivors.capacity ? appended : p.survivors.capacity;
  if (size < appended && threadIdx.x == 0) p.answers[row] = p.lost;
  uint64_t* entries = p.survivors.entries + row * p.survivors.capacity;
  const LowerEnds lower_ends = {p, entries, p.query_facts[row]};
  float threshold = p.thresholds[row];
  if (size >= p.k) {
    // 1 where fewer than k count.
    const uint64_t kth = kth_largest(lower_ends, size, uint32_t(p.k), state);
    if (kth > 1) threshold = fmaxf(threshold, value_of_key(kth));
  }
  const uint32_t kept = keep_in_place(
      entries, size, state, [&](uint64_t entry) { return lower_ends.ends_of(entry).upper >= threshold; });
  if (threadIdx.x == 0) {
    p.survivors.counts[row] = kept;
    p.thresholds[row] = threshold;
  }
}

}  // namespace

void tighten(Launcher& launch, const TightenParams& p, int64_t num_queries) {
  launch(tighten_rows, num_queries, p);
}

}  // namespace fastret::cuda
