#include "kernels/cuda/key_lists.cuh"

namespace fastret::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) list_keys(KeyRows rows, KeyLists lists, uint64_t* keys) {
  for_places(lists.length, [&](int64_t row, int64_t i) {
    const int64_t place = row * lists.length + i;
    keys[place] = lists.list_key(row, i < rows.counts[row] ? rows.keys[place] : kNothing);
  });
}

}  // namespace

SortBuffers take_sort_buffers(Workspace& pieces, int64_t rows, int64_t length, int64_t positions,
                              int64_t bytes) {
  const int64_t distinct = int64_t(1) << (32 - bits_for(positions));
  const int64_t affordable = std::max<int64_t>(1, bytes / (length * int64_t(sizeof(uint64_t))));
  SortBuffers buffers = {};
  buffers.rows = std::clamp<int64_t>(rows, 1, std::min(distinct, affordable));
  buffers.keys = pieces.take<uint64_t>(buffers.rows * length);
  buffers.workspace_bytes = sort_keys_workspace_bytes(buffers.rows * length);
  buffers.workspace = pieces.take<char>(buffers.workspace_bytes);
  return buffers;
}

void list_key_rows(Launcher& launch, const KeyRows& rows, const KeyLists& lists, uint64_t* keys) {
  launch(list_keys, list_blocks(lists.rows, lists.length), rows, lists, keys);
}

}  // namespace fastret::cuda
