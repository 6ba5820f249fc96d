// Sizes that shape the CUDA kernels, in one table. None has been timed on a device yet: each row says what
// set it.
#pragma once
#include <cstdint>

namespace fastret::cuda {

constexpr int kThreads = 256;  // of every block
constexpr int kWarps = kThreads / 32;
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
  int64_t query_bytes;     // for all queries of a pass over the keys, and their survivors
  int64_t plane_bytes;     // for the keys of a run that come without planes
  int64_t least_capacity;  // survivors of a query
  int64_t target_blocks;   // of work that is cut as the grid allows: 4 for each of 132 multiprocessors
};
constexpr SearchTuning kSearchTuning = {512 << 20, 256 << 20, 1024, 528};

// The longest row that select_k holds in shared memory, as 32-bit values: 16 KiB, beside the list to sort.
constexpr int kSharedColumns = 4096;
// The most columns that it samples of a longer row: 32 KiB of shared memory.
constexpr int kMostSamples = 8192;

struct SelectKTuning {
  int64_t sorted_columns;    // up to this many (a power of two) a row is sorted rather than selected from
  int64_t shared_columns;    // up to this many, and kSharedColumns, a row is held in shared memory
  int64_t sorted_share;      // k beyond 1 / sorted_share of the columns: rows are sorted rather than filtered
  int64_t bytes_per_sample;  // a sector of 32 bytes is read for each: 4 to 8 % of a row
  double spread;             // of a sample, in standard deviations: few rows in a million mislead
  int64_t segment_columns;   // of a row that one block filters, at least: 32 KiB, eight loads per thread
  int64_t target_blocks;     // rows are cut into segments up to this many: 8 for each of 132 multiprocessors
  int64_t candidate_bytes;   // for the candidates of all rows of a pass
};
constexpr SelectKTuning kSelectKTuning = {256, kSharedColumns, 4, 384, 5, 8192, 1056, 256 << 20};

}  // namespace fastret::cuda
