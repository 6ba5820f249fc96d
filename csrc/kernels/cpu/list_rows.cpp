#include "kernels/cpu/list_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/levels.h"
#include "kernels/isa.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kDimsAtOnce = 64;  // whole bytes of every width

// Four levels of 6 bits in three bytes, the lowest bits first.
void unpack_6_bits(const uint8_t* code, int64_t count, uint8_t* levels) {
  uint32_t word = 0;
  for (int64_t i = 0; i < (6 * count + 7) / 8; ++i) word |= uint32_t(code[i]) << (8 * i);
  for (int64_t i = 0; i < count; ++i) levels[i] = word >> (6 * i) & 63;
}

// The levels of up to kDimsAtOnce dimensions, a byte each.
void unpack_levels(Codec codec, const uint8_t* code, int64_t size, uint8_t* __restrict levels) {
  if (codec == Codec::bits4) {
    for (int64_t i = 0; i < (size + 1) / 2; ++i) {
      levels[2 * i] = code[i] & 15;
      levels[2 * i + 1] = code[i] >> 4;
    }
  } else {
    int64_t d = 0;
    for (; d + 4 <= size; d += 4) unpack_6_bits(code + d / 4 * 3, 4, levels + d);
    unpack_6_bits(code + d / 4 * 3, size - d, levels + d);
  }
}

void add_centroid(const float* centroid, int64_t dim, float* target) {
  for (int64_t d = 0; centroid && d < dim; ++d) target[d] += centroid[d];
}

void decode_level_row(Codec codec, const uint8_t* code, int64_t dim, const float* ranges,
                      const float* centroid, float* target) {
  const int bits = codec == Codec::bits8 ? 8 : codec == Codec::bits6 ? 6 : 4;
  const float steps = float((1 << bits) - 1);
  const DecodeLevels decode = decode_levels();
  if (bits == 8) return decode(code, dim, {steps, ranges, ranges + dim}, centroid, target);
  uint8_t levels[kDimsAtOnce];
  for (int64_t first = 0; first < dim; first += kDimsAtOnce) {
    const int64_t size = std::min(kDimsAtOnce, dim - first);
    unpack_levels(codec, code + first * bits / 8, size, levels);
    decode(levels, size, {steps, ranges + first, ranges + dim + first}, centroid ? centroid + first : nullptr,
           target + first);
  }
}

}  // namespace

void decode_row(Codec codec, const uint8_t* code, int64_t dim, const float* ranges, const float* centroid,
                float* target) {
  switch (codec) {
    case Codec::float32:
      std::memcpy(target, code, size_t(dim) * sizeof(float));
      break;
    case Codec::float16:
      primitives().widen(code, DType::f16, dim, target);
      break;
    case Codec::bfloat16:
      primitives().widen(code, DType::bf16, dim, target);
      break;
    case Codec::direct8:
      for (int64_t d = 0; d < dim; ++d) target[d] = float(code[d]);
      break;
    case Codec::direct8_signed:
      for (int64_t d = 0; d < dim; ++d) target[d] = float(code[d] - 128);
      break;
    default:
      return decode_level_row(codec, code, dim, ranges, centroid, target);
  }
  add_centroid(centroid, dim, target);
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
  const float* centroid = lists_.centroids ? lists_.centroids + list * lists_.dim : nullptr;
  decode_row(lists_.codec, code, lists_.dim, lists_.ranges, centroid, row);
  return row;
}

}  // namespace fastret::cpu
