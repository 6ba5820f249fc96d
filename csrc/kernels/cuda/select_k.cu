// The k largest or smallest of each row, on whichever path reads and sorts least.
#include <algorithm>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/select_k_paths.cuh"

namespace fastret::cuda {
namespace {

enum class Path { sort_short, select_shared, filter, sort };

Path path_of(const SelectKParams& p, const SelectKTuning& tuning) {
  const int64_t columns = p.values.dim;
  const int64_t length = power_of_two_from(columns), listed = power_of_two_from(std::min(p.k, columns));
  if (length <= std::max(tuning.sorted_columns, 2 * listed) && length <= kSortInBlock)
    return Path::sort_short;
  if (listed <= kSortInBlock && columns <= std::min<int64_t>(tuning.shared_columns, kSharedColumns))
    return Path::select_shared;
  const bool few = listed <= kSortInBlock || p.k <= columns / tuning.sorted_share;
  return few ? Path::filter : Path::sort;
}

}  // namespace

int64_t select_k_workspace_bytes(const SelectKParams& p, const SelectKTuning& tuning) {
  if (p.k == 0 || p.values.rows == 0) return 0;
  const RankedRows rows(p);
  switch (path_of(p, tuning)) {
    case Path::filter:
      return filter_rows_workspace_bytes(rows, tuning);
    case Path::sort:
      return sort_rows_workspace_bytes(rows, tuning);
    default:
      return 0;
  }
}

cudaError_t select_k(const SelectKParams& p, void* workspace, cudaStream_t stream,
                     const SelectKTuning& tuning) {
  if (p.k == 0 || p.values.rows == 0) return cudaSuccess;
  if (p.values.dim > int64_t(UINT32_MAX)) return cudaErrorInvalidValue;  // positions are 32 bits
  const RankedRows rows(p);
  Launcher launch(stream);
  switch (path_of(p, tuning)) {
    case Path::sort_short:
      sort_short_rows(launch, rows);
      break;
    case Path::select_shared:
      select_shared_rows(launch, rows);
      break;
    case Path::filter:
      filter_rows(launch, rows, workspace, tuning);
      break;
    case Path::sort:
      sort_rows(launch, rows, workspace, tuning);
      break;
  }
  return launch.error();
}

}  // namespace fastret::cuda
