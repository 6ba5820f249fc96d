// The instruction sets and the primitives that each provides. The choice among them is the one mutable
// global.
#pragma once
#include <cstdint>

#include "kernels/params.h"

namespace fastret {

// Strided accumulators of a canonical sum. Part of the contract: changing it changes score bits. See
// canonical.h.
constexpr int kCanonicalLanes = 16;
// Rows that one call of canonical_rows or canonical_squares takes, so that several sums are in flight.
constexpr int kRowsPerCall = 4;
constexpr int kMaxTileQueries = 14;
constexpr int kMaxTileKeys = 32;

// What a canonical sum adds up over the dimensions.
enum class Term : int { product, squared_difference };

struct Primitives {
  const char* name;
  int tile_queries;  // queries of a full first-pass tile
  int tile_keys;     // keys of a panel

  // Widens n elements to float32, exactly.
  void (*widen)(const void* source, DType dtype, int64_t n, float* target);

  // Canonical sums of one query with kRowsPerCall keys; pointers may repeat.
  void (*canonical_rows)(Term term, const float* query, const float* const* keys, int64_t dim, double* sums);

  // Canonical product sums of kRowsPerCall rows, each with itself.
  void (*canonical_squares)(const float* const* rows, int64_t dim, double* sums);

  // target[d] = float32(row[d] * scale - centre[d]), computed in float64; returns the sum of target[d]^2.
  double (*centre_row)(const float* row, double scale, const float* centre, int64_t dim, float* target);

  // panel[d * tile_keys + i] = rows[i][d]: the layout that dot_tile reads.
  void (*pack_panel)(const float* const* rows, int64_t dim, float* panel);

  // First pass: dots[r * tile_keys + i] = float32 dot product of query r and panel key i, each of whose `dim`
  // steps rounds at most twice. `queries` is [dim, num_queries], 1 <= num_queries <= tile_queries.
  void (*dot_tile)(const float* queries, int num_queries, const float* panel, int64_t dim, float* dots);

  // uppers[i] = dots[i] + (query_norm * slope[i] + offset[i]) for the keys of a panel; returns the mask of
  // those that reach the threshold.
  uint32_t (*filter)(const float* dots, float query_norm, const float* slope, const float* offset,
                     float threshold, float* uppers);
};

// The set in use: the best that this CPU runs, or the one that FASTRET_ISA or use_isa named.
const Primitives& primitives();
// "scalar", "avx2", "avx512" or "neon". False, and nothing changed, where this machine cannot run it.
bool use_isa(const char* name);
// The sets that this build and this CPU can run, slowest first, ended by nullptr.
const char* const* available_isas();

}  // namespace fastret
