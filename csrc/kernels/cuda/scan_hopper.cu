// The Hopper scan: persistent CTAs, in each of which one thread keeps a ring of stages filled by TMA while
// two warpgroups multiply them by wgmma and offer what reaches the cuts. Clusters of two take neighbouring
// query tiles and fetch each tile of keys once, a half each.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda/scan_epilogue.cuh"
#include "kernels/cuda/scan_pipeline.h"
#include "kernels/cuda/tensor_core.cuh"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace fastret::cuda {
namespace {

constexpr int kWarpgroup = 128;
constexpr int kHopperThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kOffered = 8;  // sums of a thread that are compared with their cuts at a time
// Of the 65536 registers 168 for each thread at first; those of the producer's warpgroup, which needs few, go
// to the consumers.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;
static_assert(kWarpgroup * (kProducerRegisters + kConsumers * kConsumerRegisters) <= 65536);

// Named barriers.
constexpr int kStartBarrier = 1, kConsumerBarrier = 2;  // of consumer 0; the others' follow

struct HopperScan {
  CUtensorMap queries, keys;
  ScanParams params;
  TileSchedule schedule;
  int cluster_ctas;
};

template <int kQueries>
struct HopperShared {
  unsigned char stages[kRingStages][HopperTile<kQueries>::stage_bytes];  // aligned to 1024 bytes
  ScanTile tiles[kConsumers];
  ScanHit queues[kConsumers][kWarpgroup / 32][32 * kOffered];
  uint64_t full[kRingStages], empty[kRingStages];
};
static_assert(sizeof(HopperShared<128>) <= (227 << 10));

__device__ __forceinline__ int64_t cluster_number(const HopperScan& scan) {
  return blockIdx.x / scan.cluster_ctas;
}

template <int kQueries>
struct Producer {
  using Tile = HopperTile<kQueries>;
  const HopperScan& scan;
  HopperShared<kQueries>& shared;
  int rank;
  int query_row, key_row;

  __device__ __forceinline__ void begin(int64_t tile) {
    const ScanParams& p = scan.params;
    const int64_t cluster = cluster_number(scan), visit = scan.schedule.visit(cluster, tile);
    query_row = int((scan.schedule.query_group(cluster, tile) * scan.cluster_ctas + rank) * kQueries);
    key_row = int((p.only_scanned ? visit : p.order[p.first_visit + visit]) * kKeyTile);
  }

  __device__ __forceinline__ void wait_empty(int stage, uint32_t parity) {
    barrier_wait(&shared.empty[stage], parity);
  }

  // Stages are written by TMA and read by wgmma alone, both of the asynchronous proxy: the barriers order
  // them without a proxy fence.
  __device__ __forceinline__ void load(int stage, int64_t step) {
    uint64_t* full = &shared.full[stage];
    unsigned char *queries = shared.stages[stage], *keys = queries + Tile::query_bytes;
    const int column = int(step) * kStageElements;
    barrier_expect(full, Tile::stage_bytes);
    copy_box(queries, scan.queries, full, column, query_row);
    if (scan.cluster_ctas == 1) {
      copy_box(keys, scan.keys, full, column, key_row);
    } else {
      const int share = kKeyTile / scan.cluster_ctas * rank;
      copy_box_to_all(keys + share * kStageRowBytes, scan.keys, full, column, key_row + share,
                      uint16_t((1 << scan.cluster_ctas) - 1));
    }
  }
};

template <int kQueries>
struct Consumer {
  using Tile = HopperTile<kQueries>;
  const HopperScan& scan;
  HopperShared<kQueries>& shared;
  int rank, number, thread;
  int64_t first_query, first_key;
  float sums[Tile::consumer_blocks][Tile::columns / 2];

  __device__ __forceinline__ void start_other() { named_arrive(kStartBarrier, kConsumers * kWarpgroup); }
  __device__ __forceinline__ void wait_for_start() { named_sync(kStartBarrier, kConsumers * kWarpgroup); }

  __device__ __forceinline__ void wait_full(int stage, uint32_t parity) {
    barrier_wait(&shared.full[stage], parity);
  }

  __device__ __forceinline__ void multiply(int stage, int64_t step) {
    const uint32_t address = shared_address(shared.stages[stage]);
    const uint64_t columns = matrix_descriptor(Tile::columns_address(address));
    begin_products();
#pragma unroll
    for (int block = 0; block < Tile::consumer_blocks; ++block) {
      const uint64_t rows = matrix_descriptor(Tile::block_address(address, number, block));
#pragma unroll
      for (int k = 0; k < kStageElements / kWgmmaDepth; ++k)
        cuda::multiply(sums[block], descriptor_at(rows, k), descriptor_at(columns, k), step > 0 || k > 0);
    }
    commit_products();
  }

  template <int kGroups>
  __device__ __forceinline__ void wait_products() {
    wait_for_products<kGroups>();
    if constexpr (kGroups == 0) {
#pragma unroll
      for (int block = 0; block < Tile::consumer_blocks; ++block) pin(sums[block]);
    }
  }

  __device__ __forceinline__ void release(int stage) {
    if (thread % 32 < scan.cluster_ctas) barrier_arrive(&shared.empty[stage], uint32_t(thread % 32));
  }

  __device__ __forceinline__ void prepare(int64_t tile) {
    const ScanParams& p = scan.params;
    const int64_t cluster = cluster_number(scan), visit = scan.schedule.visit(cluster, tile);
    first_query = (scan.schedule.query_group(cluster, tile) * scan.cluster_ctas + rank) * kQueries;
    first_key = p.order[p.first_visit + visit] * kKeyTile;
    KeyFacts facts[kKeyTile / kWarpgroup];
#pragma unroll
    for (int i = 0; i < kKeyTile / kWarpgroup; ++i)
      facts[i] = facts_if_allowed(p, first_key + i * kWarpgroup + thread);
    join();  // all have offered their pairs of the tile before
    fill_tile<kWarpgroup>(shared.tiles[number], p, thread, facts, first_query, kQueries, [this] { join(); });
  }

  __device__ __forceinline__ void finish() {
    constexpr int block_sums = Tile::columns / 2;
    constexpr int offered = block_sums < kOffered ? block_sums : kOffered;
    const ScanTile& tile = shared.tiles[number];
#pragma unroll
    for (int block = 0; block < Tile::consumer_blocks; ++block) {
#pragma unroll
      for (int first = 0; first < block_sums; first += offered) {
        const auto pair = [&](int i) { return Tile::pair_of(number, thread, block, first + i); };
        float values[offered];
#pragma unroll
        for (int i = 0; i < offered; ++i) {
          const KeyFacts& facts = tile.keys[pair(i).key];
          values[i] = fmaf(sums[block][first + i], facts.scale, facts.bias);
        }
        offer_values<offered>(
            scan.params, tile, first_query, first_key, shared.queues[number][thread / 32],
            [&](int i) { return values[i]; }, [&](int i) { return tile.cuts[pair(i).query]; },
            [&](int i) { return pair(i).query; }, [&](int i) { return pair(i).key; });
      }
    }
  }

 private:
  __device__ __forceinline__ void join() { named_sync(kConsumerBarrier + number, kWarpgroup); }
};

template <int kQueries>
__global__ void __launch_bounds__(kHopperThreads, 1) scan_clusters(const __grid_constant__ HopperScan scan) {
  auto& shared = *reinterpret_cast<HopperShared<kQueries>*>(dynamic_shared());
  const int warpgroup = threadIdx.x / kWarpgroup;
  const int rank = int(cluster_rank());
  const int64_t tiles = scan.schedule.count(cluster_number(scan));
  const int64_t steps = scan.params.stride / kStageElements;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kRingStages; ++stage) {
      barrier_init(&shared.full[stage], kFullArrivals);
      barrier_init(&shared.empty[stage], empty_arrivals(scan.cluster_ctas));
    }
    publish_barriers();
  }
  // Before any CTA sends to another, or arrives there.
  cluster_sync();

  if (warpgroup == 0) {
    shrink_registers<kProducerRegisters>();
    if (threadIdx.x == 0) {
      Producer<kQueries> producer = {scan, shared, rank, 0, 0};
      produce(producer, tiles, steps);
    }
  } else {
    grow_registers<kConsumerRegisters>();
    Consumer<kQueries> consumer = {scan, shared, rank, warpgroup - 1, int(threadIdx.x) % kWarpgroup,
                                   0,    0,      {}};
    consume(consumer, tiles, steps);
  }
  // Its copies have come before a CTA is done, since it has read them; but its neighbour may yet arrive at
  // its barriers, which must not be gone.
  cluster_sync();
}

// Asked of the driver at run time, so that nothing links to it; nullptr where it has none.
decltype(cuTensorMapEncodeTiled)* tensor_map_encoder() {
  static const auto encoder = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
    const bool has = error == cudaSuccess && result == cudaDriverEntryPointSuccess;
    return reinterpret_cast<decltype(cuTensorMapEncodeTiled)*>(has ? found : nullptr);
  }();
  return encoder;
}

// A plane as boxes of one stage's elements of `box_rows` rows. Rows beyond `rows` read as zeros.
cudaError_t describe_plane(CUtensorMap& map, const uint16_t* plane, int64_t rows, int64_t stride,
                           int box_rows) {
  const auto encode = tensor_map_encoder();
  if (!encode) return cudaErrorNotSupported;
  const cuuint64_t sizes[] = {cuuint64_t(stride), cuuint64_t(rows)}, row_bytes[] = {cuuint64_t(stride) * 2};
  const cuuint32_t box[] = {kStageElements, cuuint32_t(box_rows)}, every_element[] = {1, 1};
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<uint16_t*>(plane), sizes, row_bytes, box,
             every_element, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

template <int kQueries>
cudaError_t launch_clusters(const ScanParams& p, cudaStream_t stream) {
  const int64_t query_tiles = ceil_div(p.num_queries, kQueries);
  HopperScan scan = {};
  scan.params = p;
  scan.cluster_ctas = query_tiles > 1 ? 2 : 1;
  const int64_t key_rows = p.only_scanned ? p.num_visits * kKeyTile : p.num_keys;
  cudaError_t error = describe_plane(scan.queries, p.queries, p.num_queries, p.stride, kQueries);
  if (error == cudaSuccess)
    error = describe_plane(scan.keys, p.keys, key_rows, p.stride, kKeyTile / scan.cluster_ctas);

  int device = 0, multiprocessors = 0;
  if (error == cudaSuccess) error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  constexpr int shared_bytes = sizeof(HopperShared<kQueries>);
  const auto kernel = scan_clusters<kQueries>;
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) return error;

  scan.schedule.query_groups = ceil_div(query_tiles, scan.cluster_ctas);
  scan.schedule.visits = p.num_visits;
  scan.schedule.clusters = std::min<int64_t>(scan.schedule.query_groups * p.num_visits,
                                             std::max(1, multiprocessors / scan.cluster_ctas));
  cudaLaunchAttribute cluster = {};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = unsigned(scan.cluster_ctas);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(unsigned(scan.schedule.clusters * scan.cluster_ctas));
  config.blockDim = dim3(kHopperThreads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, scan);
}

}  // namespace

void scan_hopper(Launcher& launch, const ScanParams& p) {
  if (p.num_queries == 0 || p.num_visits == 0) return;
  const auto launch_tiles = p.num_queries <= 8    ? launch_clusters<8>
                            : p.num_queries <= 16 ? launch_clusters<16>
                            : p.num_queries <= 32 ? launch_clusters<32>
                            : p.num_queries <= 64 ? launch_clusters<64>
                                                  : launch_clusters<128>;
  launch.by([&](cudaStream_t stream) { return launch_tiles(p, stream); });
}

}  // namespace fastret::cuda
