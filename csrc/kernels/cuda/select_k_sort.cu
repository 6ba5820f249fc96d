// Rows of which most is selected: sorted whole, all of a pass at once.
#include "kernels/cuda/key_lists.cuh"
#include "kernels/cuda/select_k_paths.cuh"

namespace fastret::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) list_values(RankedRows rows, KeyLists lists, uint64_t* keys) {
  for_places(lists.length, [&](int64_t row, int64_t column) {
    keys[row * lists.length + column] = lists.list_key(row, rows.key(row, column));
  });
}

struct Buffers {
  SortBuffers sort;
  uint64_t* spare;
  int64_t bytes;
};

Buffers lay_out(const RankedRows& rows, const SelectKTuning& tuning, void* workspace) {
  Workspace pieces(workspace);
  Buffers buffers = {};
  buffers.sort = take_sort_buffers(pieces, rows.rows, rows.columns, rows.columns, tuning.candidate_bytes / 2);
  buffers.spare = pieces.take<uint64_t>(buffers.sort.rows * rows.columns);
  buffers.bytes = pieces.bytes();
  return buffers;
}

}  // namespace

int64_t sort_rows_workspace_bytes(const RankedRows& rows, const SelectKTuning& tuning) {
  return lay_out(rows, tuning, nullptr).bytes;
}

void sort_rows(Launcher& launch, const RankedRows& rows, void* workspace, const SelectKTuning& tuning) {
  const Buffers buffers = lay_out(rows, tuning, workspace);
  for (int64_t first = 0; first < rows.rows; first += buffers.sort.rows) {
    const RankedRows pass = rows.slice(first, buffers.sort.rows);
    const KeyLists lists(pass.rows, pass.columns, pass.columns);
    launch(list_values, list_blocks(lists.rows, lists.length), pass, lists, buffers.sort.keys);
    // The sort keeps the order of columns where values are equal, and the lower half of a 16-bit value's bits
    // is the same for all of its sign.
    const int unsorted = lists.position_bits + (rows.element_bytes == 4 ? 0 : 16);
    write_sorted_lists(launch, lists, buffers.sort, buffers.spare, unsorted, pass);
  }
}

}  // namespace fastret::cuda
