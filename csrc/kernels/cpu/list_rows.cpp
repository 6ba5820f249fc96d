#include "kernels/cpu/list_rows.h"

#include <cstring>

#include "kernels/isa.h"

namespace fastret::cpu {
namespace {

int level_of(Codec codec, const uint8_t* code, int64_t d) {
  if (codec == Codec::bits8) return code[d];
  if (codec == Codec::bits4) return code[d / 2] >> (d % 2 * 4) & 15;
  // Four levels of 6 bits in three bytes, the lowest bits first.
  const uint8_t* bytes = code + d / 4 * 3;
  switch (d % 4) {
    case 0:
      return bytes[0] & 63;
    case 1:
      return bytes[0] >> 6 | (bytes[1] & 15) << 2;
    case 2:
      return bytes[1] >> 4 | (bytes[2] & 3) << 4;
    default:
      return bytes[2] >> 2;
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
  const float levels = codec == Codec::bits8 ? 255.0f : codec == Codec::bits6 ? 63.0f : 15.0f;
  for (int64_t d = 0; d < dim; ++d)
    target[d] = ranges[d] + (float(level_of(codec, code, d)) + 0.5f) / levels * ranges[dim + d];
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
