// The portable scan: one block scores a tile of queries with a tile of keys by mma.sync, fed by cp.async.
#include "kernels/cuda/scan_epilogue.cuh"
#include "kernels/cuda/tensor_core.cuh"

namespace fastret::cuda {
namespace {

constexpr int kStepDims = 32;  // staged at a time: rows of 64 bytes, four copies of 16
constexpr int kCopies = kStepDims * 2 / 16;
constexpr int kStages = 4;
static_assert(kThreads == kKeyTile && kCopies == 4);

// kWarpRows of the 8 warps share the queries of a tile, the others stand side by side along its keys; each
// holds kRowTiles x kColumnTiles sums of 16 x 8.
template <int kWarpRows, int kRowTiles>
struct TileShape {
  static constexpr int row_tiles = kRowTiles;
  static constexpr int warp_columns = kWarps / kWarpRows;
  static constexpr int column_tiles = kKeyTile / 8 / warp_columns;
  static constexpr int queries = kWarpRows * kRowTiles * 16;
  static constexpr int stage_bytes = (queries + kKeyTile) * kStepDims * 2;
  static constexpr int shared_bytes = kStages * stage_bytes;
  static_assert(queries <= kMostScanQueries);
  static_assert(shared_bytes <= 99 << 10);  // a block of 8.6 and 8.9 gets no more
  static_assert(int(sizeof(ScanTile)) + kWarps * kQueueLength * int(sizeof(ScanHit)) <= shared_bytes);
};
using ManyQueries = TileShape<2, 4>;  // 128
using SomeQueries = TileShape<1, 4>;  // 64
using FewQueries = TileShape<1, 1>;   // 16: the scan waits for memory, not for the tensor cores

// Where a row's copy lies in a stage: permuted so that the 8 rows of a matrix, and the 8 copies that a
// quarter of a warp writes, meet all banks.
__device__ __forceinline__ int copy_offset(int row, int copy) {
  return (row * kCopies + (copy ^ (row / 2 % kCopies))) * 16;
}

// row_at(r): where row r of the tile begins.
template <int kRows, class Row>
__device__ __forceinline__ void stage_rows_async(unsigned char* stage, const Row& row_at, int64_t first_dim) {
#pragma unroll
  for (int first = 0; first < kRows * kCopies; first += kThreads) {
    const int i = first + int(threadIdx.x), row = i / kCopies, copy = i % kCopies;
    if (kRows * kCopies % kThreads == 0 || i < kRows * kCopies)
      copy_async(stage + copy_offset(row, copy), row_at(row) + first_dim + copy * 8);
  }
}

// The approximate products of a tile, in the layout of multiply_add.
template <class Shape>
struct TileSums {
  float sums[Shape::row_tiles][Shape::column_tiles][4];

  __device__ __forceinline__ void add_stage(const unsigned char* queries, const unsigned char* keys,
                                            int lane) {
#pragma unroll
    for (int copy = 0; copy < kCopies; copy += 2) {  // 16 dimensions
      uint32_t a[Shape::row_tiles][4];
#pragma unroll
      for (int r = 0; r < Shape::row_tiles; ++r)
        load_matrices(a[r], queries + copy_offset(16 * r + lane % 16, copy + lane / 16));
#pragma unroll
      for (int c = 0; c < Shape::column_tiles; c += 2) {
        uint32_t b[4];
        load_matrices(b, keys + copy_offset(8 * c + lane / 16 * 8 + lane % 8, copy + lane / 8 % 2));
#pragma unroll
        for (int r = 0; r < Shape::row_tiles; ++r) {
          multiply_add(sums[r][c], a[r], b[0], b[1]);
          multiply_add(sums[r][c + 1], a[r], b[2], b[3]);
        }
      }
    }
  }
};

// The planes that a pair of tiles is scored from, one product after the other; the largest comes last, so
// that the small ones meet small sums.
template <class Shape, bool kFiner>
struct TileSource {
  const ScanParams& p;
  int64_t first_query, visit, tile, steps;  // steps of one product

  __device__ __forceinline__ int64_t all_steps() const { return kFiner ? 3 * steps : steps; }

  __device__ __forceinline__ void load(int64_t step, unsigned char* stage) const {
    const int product = !kFiner ? 2 : int(step >= steps) + int(step >= 2 * steps);
    const int64_t first_dim = (kFiner ? step - product * steps : step) * kStepDims;
    const uint16_t* queries = kFiner && product == 1 ? p.finer.query_middles : p.queries;
    const uint16_t* keys = kFiner && product == 0 ? p.finer.key_middles : p.keys;
    const int64_t key_tile = p.only_scanned || (kFiner && product == 0) ? visit : tile;
    stage_rows_async<Shape::queries>(
        stage,
        [&](int row) {
          const int64_t query = kFiner ? query_at(p, first_query + row) : first_query + row;
          return queries + (kFiner && query < 0 ? 0 : query) * p.stride;
        },
        first_dim);
    stage_rows_async<kKeyTile>(
        stage + Shape::queries * kStepDims * 2,
        [&](int row) { return keys + (key_tile * kKeyTile + row) * p.stride; }, first_dim);
  }
};

// Called by a whole block, again and again.
template <class Shape, bool kFiner>
__device__ __forceinline__ void scan_tile(const ScanParams& p, int64_t first_query, int64_t visit) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const TileSource<Shape, kFiner> source = {p, first_query, visit, p.order[p.first_visit + visit],
                                            p.stride / kStepDims};
  const KeyFacts facts[1] = {facts_if_allowed(p, source.tile * kKeyTile + threadIdx.x)};
  // Also: the shared memory of the tile before is done with.
  if (!__syncthreads_or(facts[0].residual == facts[0].residual)) return;  // no key of the tile is ever found

  unsigned char* stages = dynamic_shared();
  const auto stage_at = [&](int64_t step) { return stages + step % kStages * Shape::stage_bytes; };
  const int64_t steps = source.all_steps();
  const auto load = [&](int64_t step) {
    if (step < steps) source.load(step, stage_at(step));
    commit_copies();  // also without copies, so that the number of groups tells the step
  };
  for (int step = 0; step < kStages - 1; ++step) load(step);

  const int warp_row = warp / Shape::warp_columns * Shape::row_tiles * 16;
  const int warp_column = warp % Shape::warp_columns * Shape::column_tiles * 8;
  TileSums<Shape> tile_sums = {};
  for (int64_t step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // the stage has come for all, and all are done with the one before it
    load(step + kStages - 1);
    const unsigned char* stage = stage_at(step);
    tile_sums.add_stage(stage + warp_row * kStepDims * 2,
                        stage + (Shape::queries + warp_column) * kStepDims * 2, lane);
  }

  // The stages make room for the epilogue.
  wait_for_copies<0>();
  __syncthreads();
  ScanTile& tile = *reinterpret_cast<ScanTile*>(stages);
  ScanHit* queue = reinterpret_cast<ScanHit*>(stages + sizeof(ScanTile)) + warp * kQueueLength;
  fill_tile<kThreads>(tile, p, int(threadIdx.x), facts, first_query, Shape::queries, [] { __syncthreads(); });
  const int row = warp_row + lane / 4;
  float cuts[2 * Shape::row_tiles];
#pragma unroll
  for (int r = 0; r < 2 * Shape::row_tiles; ++r) cuts[r] = tile.cuts[row + 8 * r];
#pragma unroll
  for (int c = 0; c < Shape::column_tiles; ++c) {
    const int column = warp_column + 8 * c + 2 * (lane % 4);
    const KeyFacts left = tile.keys[column], right = tile.keys[column + 1];
    // Value i is that of sum i % 4 of row tile i / 4.
    offer_values<4 * Shape::row_tiles>(
        p, tile, first_query, source.tile * kKeyTile, queue,
        [&](int i) {
          return i % 2 ? fmaf(tile_sums.sums[i / 4][c][i % 4], right.scale, right.bias)
                       : fmaf(tile_sums.sums[i / 4][c][i % 4], left.scale, left.bias);
        },
        [&](int i) { return cuts[i / 2]; }, [&](int i) { return row + 8 * (i / 2); },
        [&](int i) { return column + i % 2; });
  }
}

// One block per pair of tiles; query tiles fastest, so that the blocks that share a tile of keys run side by
// side and read it from L2.
template <class Shape>
__global__ void __launch_bounds__(kThreads) scan_tiles(ScanParams p, int64_t query_tiles) {
  scan_tile<Shape, false>(p, blockIdx.x % query_tiles * Shape::queries, blockIdx.x / query_tiles);
}

template <class Shape>
__global__ void __launch_bounds__(kThreads) scan_tiles_finer(ScanParams p) {
  const int64_t query_tiles = (p.finer.list[0] + Shape::queries - 1) / Shape::queries;
  for (int64_t i = blockIdx.x; i < query_tiles * p.num_visits; i += gridDim.x)
    scan_tile<Shape, true>(p, i % query_tiles * Shape::queries, i / query_tiles);
}

template <class Shape>
void launch_tiles(Launcher& launch, const ScanParams& p) {
  const int64_t query_tiles = ceil_div(p.num_queries, Shape::queries);
  launch.with_shared(Shape::shared_bytes, scan_tiles<Shape>, query_tiles * p.num_visits, p, query_tiles);
}

}  // namespace

void scan_portable(Launcher& launch, const ScanParams& p) {
  if (p.num_queries <= FewQueries::queries)
    launch_tiles<FewQueries>(launch, p);
  else if (p.num_queries <= SomeQueries::queries)
    launch_tiles<SomeQueries>(launch, p);
  else
    launch_tiles<ManyQueries>(launch, p);
}

void scan_finer(Launcher& launch, const ScanParams& p, int64_t blocks) {
  if (p.num_queries <= FewQueries::queries)
    launch.with_shared(FewQueries::shared_bytes, scan_tiles_finer<FewQueries>, blocks, p);
  else
    launch.with_shared(ManyQueries::shared_bytes, scan_tiles_finer<ManyQueries>, blocks, p);
}

}  // namespace fastret::cuda
