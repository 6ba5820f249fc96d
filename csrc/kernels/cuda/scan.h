// The first pass of a search: approximate scores of all queries with a run of key tiles, of which only those
// survive that the error bound cannot exclude.
#pragma once
#include "kernels/cuda/error_bound.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/planes.h"

namespace fastret::cuda {

constexpr int kMostScanQueries = 128;  // of a tile: planes of queries have room for whole tiles

// Tiles are visited in steps of a golden section of all: neighbours in memory, which are often neighbours in
// rank, come far apart, so that no part of the scan meets them all before thresholds have risen.
struct TileOrder {
  int64_t tiles, step;  // coprime

  FASTRET_HOST_DEVICE int64_t operator[](int64_t visit) const {
    return int64_t(uint64_t(visit) * uint64_t(step) % uint64_t(tiles));
  }
};
TileOrder tile_order(int64_t num_keys);

// What a scan keeps of its queries, in no order: rank keys of first-pass values and keys. Counts go on beyond
// the capacity: then some were lost.
using Survivors = KeyRows;

// The scan of queries of which a bfloat16 scan kept too much: a third plane holds what `high` leaves of each
// element, rounded to bfloat16 once more, so that three products instead of one leave 2^-16 of each element
// at most.
struct FinerScan {
  const uint32_t* list = nullptr;           // [Q + 1] how many queries, then their numbers
  const uint16_t* query_middles = nullptr;  // as `queries`
  const uint16_t* key_middles = nullptr;    // of the tiles of this scan, in their order
};

struct ScanParams {
  const uint16_t* queries;        // [Q up to a whole tile, stride] plane
  const QueryFacts* query_facts;  // [Q]
  const float* thresholds;        // [Q] upper ends below it are excluded; +inf: the query takes no part
  int64_t num_queries;
  const uint16_t* keys;  // plane: of all keys, or only of the tiles of this scan, in their order
  bool only_scanned;
  const KeyFacts* key_facts;  // of all keys
  int64_t num_keys;
  int64_t stride;  // of the planes: plane_stride(D)
  TileOrder order;
  int64_t first_visit, num_visits;  // the tiles: order[first_visit] ...
  float squared_extra;              // of the error bound
  KeyFilter filter;
  Survivors survivors;
  FinerScan finer = {};
};

// For all queries, by the kernel that scan_choice.h says.
void scan(Launcher& launch, const ScanParams& params);
// Portable: mma.sync and cp.async, compute capability 8.0 and up.
void scan_portable(Launcher& launch, const ScanParams& params);
// Hopper: TMA and wgmma, compute capability 9.0 only; an error elsewhere.
void scan_hopper(Launcher& launch, const ScanParams& params);
// For the queries of a FinerScan; their number is known to the device alone, hence so many blocks.
void scan_finer(Launcher& launch, const ScanParams& params, int64_t blocks);

}  // namespace fastret::cuda
