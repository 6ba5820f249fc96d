#include "kernels/cpu/list_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/isa.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kDimsAtOnce = 64;  // whole bytes of every width

// The levels of up to kDimsAtOnce dimensions, a byte each, so that compilers find the loop over them.
void unpack_levels(Codec codec, const uint8_t* code, int64_t size, uint8_t* levels) {
  if (codec == Codec::bits8) {
    std::memcpy(levels, code, size_t(size));
  } else if (codec == Codec::bits4) {
    for (int64_t d = 0; d < size; d += 2) {
      levels[d] = code[d / 2] & 15;
      levels[d + 1] = code[d / 2] >> 4;
    }
  } else {  // four levels of 6 bits in three bytes, the lowest bits first
    for (int64_t d = 0; d < size; d += 4) {
      const int64_t count = std::min<int64_t>(4, size - d), bytes = (6 * count + 7) / 8;
      uint32_t word = 0;
      for (int64_t i = 0; i < bytes; ++i) word |= uint32_t(code[d / 4 * 3 + i]) << (8 * i);
      for (int64_t i = 0; i < count; ++i) levels[d + i] = word >> (6 * i) & 63;
    }
  }
}

}  // namespace

void decode_row(Codec codec, const uint8_t* code, int64_t dim, const float* ranges, float* target) {
  switch (codec) {
    case Codec::float32:
      std::memcpy(target, code, size_t(dim) * sizeof(float));
      return;
    case Codec::float16:
      return primitives().widen(code, DType::f16, dim, target);
    case Codec::bfloat16:
      return primitives().widen(code, DType::bf16, dim, target);
    case Codec::direct8:
      for (int64_t d = 0; d < dim; ++d) target[d] = float(code[d]);
      return;
    case Codec::direct8_signed:
      for (int64_t d = 0; d < dim; ++d) target[d] = float(code[d] - 128);
      return;
    default:
      break;
  }
  const int bits = codec == Codec::bits8 ? 8 : codec == Codec::bits6 ? 6 : 4;
  const float steps = float((1 << bits) - 1);
  uint8_t levels[kDimsAtOnce];
  for (int64_t first = 0; first < dim; first += kDimsAtOnce) {
    const int64_t size = std::min(kDimsAtOnce, dim - first);
    const float *start = ranges + first, *width = start + dim;
    unpack_levels(codec, code + first * bits / 8, size, levels);
    for (int64_t d = 0; d < size; ++d)
      target[first + d] = start[d] + (float(levels[d]) + 0.5f) / steps * width[d];
  }
}

ListRows::ListRows(const InvertedLists& lists, int64_t slots)
    : lists_(lists),
      code_bytes_(code_bytes(lists.codec, lists.dim)),
      in_place_(lists.codec == Codec::float32 && !lists.centroids &&
                reinterpret_cast<uintptr_t>(lists.codes) % alignof(float) == 0) {
  if (!in_place_) decoded_.resize(size_t(slots * lists.dim));
}

const float* ListRows::decode(const uint8_t* code, int64_t list, int64_t slot) {
  float* row = decoded_.data() + slot * lists_.dim;
  decode_row(lists_.codec, code, lists_.dim, lists_.ranges, row);
  if (lists_.centroids) {
    const float* centroid = lists_.centroids + list * lists_.dim;
    for (int64_t d = 0; d < lists_.dim; ++d) row[d] += centroid[d];
  }
  return row;
}

}  // namespace fastret::cpu
