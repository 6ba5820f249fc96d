// Rows whose every element is known exactly: as they were given, or joined from planes.
#pragma once
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/planes.h"

namespace fastret::cuda {

struct ExactRows {
  Rows rows;                     // of planes: `high`, as bfloat16
  const int16_t* low = nullptr;  // laid out as `rows`, or nullptr: rows are complete

  __device__ __forceinline__ float operator()(int64_t row, int64_t dim) const {
    const int64_t index = row * rows.row_stride + dim;
    return low ? join_planes(static_cast<const uint16_t*>(rows.data)[index], low[index])
               : load_element(rows.data, rows.dtype, index);
  }
};

}  // namespace fastret::cuda
