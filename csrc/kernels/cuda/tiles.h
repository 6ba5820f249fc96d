// Sizes that shape the CUDA kernels, in one table. None has been timed on a device yet: each row says what
// set it.
#pragma once
#include <cstdint>

namespace fastret::cuda {

constexpr int kThreads = 256;  // of every block: 8 warps
constexpr unsigned kAllLanes = 0xffffffffu;

// A tile of pairs: 16 half-warps as 4 x 4, each with 4 x 8 pairs, whose 16 canonical lanes are its 16
// threads. That is 32 float64 accumulators, 64 registers, per thread; 8 x 8 pairs would need 128 and leave
// one block per multiprocessor.
constexpr int kPairQueries = 4;
constexpr int kPairKeys = 8;
constexpr int kTileQueries = 4 * kPairQueries;
constexpr int kTileKeys = 4 * kPairKeys;  // a warp's width: one warp filters one query's row of the tile
// Dimensions staged at a time, as float64, so that each element is converted once per tile: 24 KiB of shared
// memory.
constexpr int kStageDims = 64;

// Bits per pass of the radix selection: 2048 counters, 8 KiB; three passes cover a float32 value, six a whole
// key.
constexpr int kDigitBits = 11;
// The longest list that one block sorts in shared memory: 16 KiB.
constexpr int kSortInBlock = 2048;

struct SearchTuning {
  int64_t max_queries;      // per pass over the keys
  int64_t first_chunk;      // keys of the first chunk; later ones are as large as all before them
  int64_t max_chunk;        // while the candidates of that many keys fit candidate_bytes
  int64_t candidate_bytes;  // for the candidates of all queries of a pass
};
constexpr SearchTuning kSearchTuning = {4096, 8192, 1 << 20, 256 << 20};

struct SelectKTuning {
  int64_t min_segment;  // columns of a row that one block selects from, at least
  int64_t
      target_blocks;  // rows are cut into segments up to this many blocks: 4 for each of 132 multiprocessors
  int64_t candidate_bytes;  // for the candidates of all rows of a pass
};
constexpr SelectKTuning kSelectKTuning = {16384, 528, 256 << 20};

}  // namespace fastret::cuda
