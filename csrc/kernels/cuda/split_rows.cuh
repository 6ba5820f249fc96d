// Rows made into planes (planes.h), with what the error bound needs to know of them.
#pragma once
#include "kernels/cuda/error_bound.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/scan.h"

namespace fastret::cuda {

// Keys as planes: rows [0, N) of `keys` become rows first ... of planes and facts, which are kept.
void split_keys(Launcher& launch, const Rows& keys, Metric metric, uint16_t* high, int16_t* low,
                KeyFacts* facts);

// The tiles of one scan: order[first_visit] ... become tiles 0 ... of `high`; facts are of all keys.
struct VisitedTiles {
  Rows keys;
  Metric metric;
  TileOrder order;
  int64_t first_visit, num_visits;
  uint16_t* high;
  KeyFacts* facts;
};
void split_tiles(Launcher& launch, const VisitedTiles& tiles);

// What a search knows of its queries while it runs.
struct QueryState {
  uint16_t* high;        // [Q up to a whole tile, plane_stride(D)]
  QueryFacts* facts;     // [Q]
  float* thresholds;     // [Q] lower ends that k keys reach; +inf: the query takes no part in the scan
  uint32_t* unanswered;  // [Q] 1: the scan cannot answer this query
};

// Prepares all queries for a scan; with `scan` false all are left unanswered.
void split_queries(Launcher& launch, const Rows& queries, Metric metric, const float* ceilings, bool scan,
                   const QueryState& state);

}  // namespace fastret::cuda
