#include "kernels/cuda/tighten.cuh"

#include "kernels/cuda/block_select.cuh"

namespace fastret::cuda {
namespace {

// Lower ends that a block remembers, so that facts of keys, far apart in memory, are read once for all digits
// of a selection: those of k up to 1300.
constexpr int kRemembered = 8192;

// Survivors of one query, as rank keys of their lower ends; position: their place.
struct LowerEnds {
  const TightenParams& p;
  const uint64_t* entries;
  QueryFacts query;
  const uint32_t* remembered;

  __device__ Ends ends_of(uint64_t entry) const {
    return ends(value_of_key(entry), query, p.squared_extra, p.key_facts[position_of_key(entry)]);
  }

  // Ordered bits; 0 where it does not count.
  __device__ uint32_t lower_end(int64_t i) const {
    const Ends interval = ends_of(entries[i]);
    // One that may beat the ceiling may not be found: it excludes nothing.
    return interval.upper > query.ceiling_low ? 0 : ordered_bits(interval.lower);
  }

  __device__ uint64_t operator()(int64_t i) const {
    return rank_key(i < kRemembered ? remembered[i] : lower_end(i), uint32_t(i));
  }
};

// One block per query, of the list or of all.
__global__ void __launch_bounds__(kThreads, 4) tighten_rows(TightenParams p) {
  __shared__ SelectionState state;
  __shared__ uint32_t remembered[kRemembered];
  if (p.list && blockIdx.x >= p.list[0]) return;
  const int64_t row = p.list ? p.list[1 + blockIdx.x] : blockIdx.x;
  const int64_t appended = p.survivors.counts[row];
  const int64_t size = appended < p.survivors.capacity ? appended : p.survivors.capacity;
  if (size < appended && threadIdx.x == 0) p.answers[row] = p.lost;
  uint64_t* entries = p.survivors.keys + row * p.survivors.capacity;
  const LowerEnds lower_ends = {p, entries, p.query_facts[row], remembered};
  float threshold = p.thresholds[row];
  if (size >= p.k) {
    for (int64_t i = threadIdx.x; i < size && i < kRemembered; i += kThreads)
      remembered[i] = lower_ends.lower_end(i);
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
