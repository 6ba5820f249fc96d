// Stands in for csrc/kernels/cuda/tma.cuh on the simulator: what the PTX manual says that each instruction
// does. Copies land at a time of their own, after which their bytes count.
#pragma once
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "../../../hopper_memory.h"
#include "../../../simt.h"

// Of cuda.h, what describes a matrix.
using cuuint64_t = uint64_t;
using cuuint32_t = uint32_t;
enum CUresult { CUDA_SUCCESS, CUDA_ERROR_INVALID_VALUE };
enum CUtensorMapDataType { CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 };
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE };
enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_128B };
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_256B };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE };
enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess, cudaDriverEntryPointSymbolNotFound };
constexpr int cudaEnableDefault = 0;

struct CUtensorMap {
  hopper::Matrix matrix;
  int box_rows;
};

inline CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, cuuint32_t rank, void* data,
                                       const cuuint64_t* sizes, const cuuint64_t* row_bytes,
                                       const cuuint32_t* box, const cuuint32_t* steps, CUtensorMapInterleave,
                                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                                       CUtensorMapFloatOOBfill) {
  const bool aligned = reinterpret_cast<uintptr_t>(data) % 16 == 0 && row_bytes[0] % 16 == 0;
  if (rank != 2 || !aligned || row_bytes[0] != 2 * sizes[0] || box[0] != 64 || box[1] > 256 ||
      steps[0] != 1 || steps[1] != 1 || swizzle != CU_TENSOR_MAP_SWIZZLE_128B)
    return CUDA_ERROR_INVALID_VALUE;
  *map = {{static_cast<const uint16_t*>(data), int64_t(sizes[1]), int64_t(sizes[0])}, int(box[1])};
  return CUDA_SUCCESS;
}

inline cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, int,
                                                    cudaDriverEntryPointQueryResult* found) {
  *function = reinterpret_cast<void*>(&cuTensorMapEncodeTiled);
  *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

namespace fastret::cuda {

inline uint32_t shared_address(const void* shared) {
  return uint32_t(static_cast<const unsigned char*>(shared) - simt::dynamic_shared_of(simt::block_rank()));
}

namespace simulated {

struct PendingBox {
  unsigned rank;
  uint32_t address, barrier;
  const CUtensorMap* map;
  int32_t column, row;
};

// Of the cluster that runs.
struct Cluster {
  std::map<std::pair<unsigned, uint32_t>, hopper::Barrier> barriers;  // by rank and address
  std::map<std::pair<unsigned, int>, std::pair<int, int>> named;      // how often joined, and threads there
  std::vector<PendingBox> boxes;
  unsigned arrived = 0;
  unsigned joined = 0;
};

inline Cluster& cluster() {
  static Cluster state;
  static uint64_t run = 0;
  if (std::exchange(run, simt::machine.blocks_run) != simt::machine.blocks_run) state = {};
  return state;
}

inline hopper::Barrier& barrier_at(unsigned rank, uint32_t address) {
  const auto found = cluster().barriers.find({rank, address});
  if (found == cluster().barriers.end()) simt::fail("a barrier is used before it is set up");
  return found->second;
}

inline bool land_a_box() {
  auto& boxes = cluster().boxes;
  if (boxes.empty()) return false;
  const size_t which = simt::machine.order() % boxes.size();
  const PendingBox box = boxes[which];
  boxes.erase(boxes.begin() + int64_t(which));
  hopper::write_box(simt::dynamic_shared_of(box.rank), box.address, box.map->matrix, box.row, box.column,
                    box.map->box_rows);
  barrier_at(box.rank, box.barrier).come(box.map->box_rows * 128);
  return true;
}

inline unsigned clustered_blocks() {
  return unsigned(simt::machine.fibres.size()) / blockDim.x;
}

}  // namespace simulated

inline void barrier_init(uint64_t* barrier, int arrivals) {
  simt::machine.elsewhere = simulated::land_a_box;
  simulated::cluster().barriers[{simt::block_rank(), shared_address(barrier)}].init(arrivals);
}
inline void publish_barriers() {}
inline void barrier_expect(uint64_t* barrier, uint32_t bytes) {
  simulated::barrier_at(simt::block_rank(), shared_address(barrier)).expect(bytes);
}
inline void barrier_arrive(uint64_t* barrier, uint32_t rank) {
  bool there = false;
  for (unsigned t = rank * blockDim.x; t < (rank + 1) * blockDim.x; ++t)
    there |= simt::machine.fibres[t].wait != simt::Wait::exited;
  if (!there) simt::fail("an arrival at a block that is gone");
  simulated::barrier_at(rank, shared_address(barrier)).arrive();
}
inline void barrier_wait(uint64_t* barrier, uint32_t parity) {
  const hopper::Barrier& waited = simulated::barrier_at(simt::block_rank(), shared_address(barrier));
  simt::wait_until([&waited, parity] { return waited.is_complete(parity); });
}

inline void copy_box_to_all(void* shared, const CUtensorMap& matrix, uint64_t* barrier, int32_t column,
                            int32_t row, uint16_t ctas) {
  if (ctas >> simulated::clustered_blocks()) simt::fail("a copy to a block that is not of the cluster");
  for (unsigned rank = 0; rank < simulated::clustered_blocks(); ++rank)
    if (ctas >> rank & 1)
      simulated::cluster().boxes.push_back(
          {rank, shared_address(shared), shared_address(barrier), &matrix, column, row});
}
inline void copy_box(void* shared, const CUtensorMap& matrix, uint64_t* barrier, int32_t column,
                     int32_t row) {
  copy_box_to_all(shared, matrix, barrier, column, row, uint16_t(1u << simt::block_rank()));
}

inline uint32_t cluster_rank() {
  return simt::block_rank();
}

inline void cluster_sync() {
  simulated::Cluster& cluster = simulated::cluster();
  const unsigned time = cluster.joined;
  if (++cluster.arrived == simt::machine.fibres.size()) {
    cluster.arrived = 0;
    ++cluster.joined;
  }
  simt::wait_until([&cluster, time] { return cluster.joined > time; });
}

inline void named_arrive(int barrier, int threads) {
  auto& [joined, there] = simulated::cluster().named[{simt::block_rank(), barrier}];
  if (++there < threads) return;
  there = 0;
  ++joined;
}
inline void named_sync(int barrier, int threads) {
  const int& joined = simulated::cluster().named[{simt::block_rank(), barrier}].first;
  const int time = joined;
  named_arrive(barrier, threads);
  simt::wait_until([&joined, time] { return joined > time; });
}

template <int kRegisters>
void shrink_registers() {}
template <int kRegisters>
void grow_registers() {}

}  // namespace fastret::cuda
