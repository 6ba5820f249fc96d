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
constexpr int kRowTileQueries = 8;

// What a canonical sum adds up over the dimensions.
enum class Term : int { product, squared_difference };

// Rows that the first pass works on are padded with zeros to a multiple of this many floats.
constexpr int64_t kRowPadding = 16;

inline int64_t padded_dim(int64_t dim) {
  return (dim + kRowPadding - 1) / kRowPadding * kRowPadding;
}

// Dimensions in 4 bytes of a panel.
inline int64_t dims_per_step(FirstPass pass) {
  return pass == FirstPass::float32 ? 1 : pass == FirstPass::int16 ? 2 : 4;
}

inline int64_t panel_steps(FirstPass pass, int64_t dim) {
  return (dim + dims_per_step(pass) - 1) / dims_per_step(pass);
}

struct Centred {
  double square;     // sum of the target's squares
  double component;  // sum of target times direction
};

// Both in units of the scale, each within a relative (dim / 16 + 16) 2^-23 of what it names.
struct Quantised {
  float residual_square;  // sum of (row * inverse_scale - n)^2
  float norm_square;      // sum of n^2
};

// The facts of kPanelKeys keys, [kKeyFacts, kPanelKeys]; what they mean is in cpu/error_bound.h.
struct KeyFacts {
  const float *scale, *residual, *norm, *component, *offset;

  explicit KeyFacts(const float* facts)
      : scale(facts),
        residual(facts + kPanelKeys),
        norm(facts + 2 * kPanelKeys),
        component(facts + 3 * kPanelKeys),
        offset(facts + 4 * kPanelKeys) {}
};

struct QueryFacts {
  float scale, residual, norm, component;
};

// Where the keys of one query that reach its threshold go; with room for kPanelKeys more.
struct Sink {
  float threshold;
  uint32_t count;
  float* uppers;
  uint32_t* places;
};

struct CodePrimitives;  // kernels/code_primitives.h

struct Primitives {
  const char* name;
  // Of a full tile of the first pass, by FirstPass.
  int tile_queries[3];
  // Largest magnitude of a quantised query element in an int8 pass (keys: 127).
  int int8_query_levels;
  // Dimensions that the int8 pass multiplies in the time of one of the float32 pass.
  float int8_speed;

  // Widens n elements to float32, exactly.
  void (*widen)(const void* source, DType dtype, int64_t n, float* target);

  // Canonical sums of one query with kRowsPerCall keys; pointers may repeat. `next`: the keys of the next
  // call, to be fetched from memory meanwhile, or nullptr.
  void (*canonical_rows)(Term term, const float* query, const float* const* keys, const float* const* next,
                         int64_t dim, double* sums);

  // Canonical product sums of kRowsPerCall rows, each with itself.
  void (*canonical_squares)(const float* const* rows, const float* const* next, int64_t dim, double* sums);

  // target[d] = float32(row[d] * scale - centre[d]), computed in float64.
  Centred (*centre_row)(const float* row, double scale, const float* centre, const float* direction,
                        int64_t dim, float* target);

  // Multiplies a row by the orthogonal matrix that rotation.h defines, in place.
  void (*rotate)(float* row, int64_t dim);

  // The largest |row[d]| of a padded row.
  float (*largest)(const float* row, int64_t dim);

  // target[d] = float32(row[d] * inverse_scale) rounded to the nearest integer, of two to the even one: the
  // same on every set. Stored as int16 (|n| <= 32767), or plus `shift` as a byte (|n| <= 127), for a padded
  // row.
  Quantised (*quantise)(FirstPass pass, const float* row, int64_t dim, float inverse_scale, int shift,
                        void* target);

  // panel[s * kPanelKeys + i] = rows[i][s], in units of 4 bytes.
  void (*pack_panel)(const int32_t* const* rows, int64_t steps, int32_t* panel);

  // First pass: dots[r * kPanelKeys + i] = dot product of query r and key i. float32: each of the steps
  // rounds at most twice. Integers: int32, exact; keys of an int8 pass are stored plus 128, and start[r] is
  // -128 times the sum of query r, in other passes 0. `queries` is [steps, num_queries] of 4 bytes, 1 <=
  // num_queries <= tile_queries.
  void (*dot_tile)(FirstPass pass, const void* queries, int num_queries, const int32_t* start,
                   const void* panel, int64_t steps, void* dots);

  // First pass over rows as they lie in memory, for works too small to pack keys for: dots[r * kPanelKeys +
  // i] as of dot_tile in float32, and squares[i] = the product sum of key i with itself, each within a
  // relative (dim / 4 + 16) 2^-24. There are kPanelKeys keys and 1 <= num_queries <= kRowTileQueries.
  void (*row_tile)(const float* const* queries, int num_queries, const float* const* keys, int64_t dim,
                   float* dots, float* squares);

  // For each query r and key i of a tile: upper = (dot * scale_i) * scale_r + (component_r component_i +
  // (norm_r residual_i + (residual_r norm_i + offset_i))); where it reaches the threshold and bit i of
  // `allowed` is set, appends it and first_place + i to sinks[r], keys ascending.
  void (*filter_tile)(bool integers, const void* dots, int num_queries, const QueryFacts* queries,
                      const KeyFacts& keys, uint32_t allowed, uint32_t first_place, Sink* sinks);

  // Of product codes; isa.cpp fills it in.
  const CodePrimitives* codes = nullptr;
};

// The set in use: the best that this CPU runs, or the one that FASTRET_ISA or use_isa named.
const Primitives& primitives();
// A name of available_isas. False, and nothing changed, where this machine cannot run it.
bool use_isa(const char* name);
// The sets that this build and this CPU can run, slowest first, ended by nullptr.
const char* const* available_isas();

}  // namespace fastret
