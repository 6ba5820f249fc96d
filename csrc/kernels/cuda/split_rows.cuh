// Rows made into planes (planes.h), with what the error bound needs to know of them.
#pragma once
#include "kernels/cuda/error_bound.cuh"
#include "kernels/cuda/exact_rows.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/query_state.cuh"
#include "kernels/cuda/scan.h"

namespace fastret::cuda {

// Where planes of rows are written, [rows, plane_stride(D)] each; nullptr: nowhere.
struct PlanesOut {
  uint16_t* high = nullptr;
  int16_t* low = nullptr;
  uint16_t* middle = nullptr;
};

// The tiles of one scan: order[first_visit] ... become tiles 0 ... of the planes.
struct VisitedTiles {
  ExactRows keys;
  Metric metric;
  TileOrder order;
  int64_t first_visit, num_visits;
  PlanesOut planes;
  KeyFacts* facts;                 // of all keys, or nullptr: they are known
  const uint32_t* list = nullptr;  // nothing is done where it is there and empty (FinerScan)
};
void split_tiles(Launcher& launch, const VisitedTiles& tiles, int64_t most_blocks);

// Prepares all queries for a scan; with `scan` false all are answered without one, and there are no planes.
void split_queries(Launcher& launch, const Rows& queries, Metric metric, const float* ceilings, bool scan,
                   const QueryState& state);

}  // namespace fastret::cuda
