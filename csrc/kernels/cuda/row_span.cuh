// A stretch of a row in the registers of the threads that share the row.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/element.cuh"

namespace fastret::cuda {

constexpr int kPiece = 8;   // consecutive elements, which a thread moves in one or two accesses of 16 bytes
constexpr int kPieces = 4;  // of a thread: enough bytes in flight, and 32 registers
constexpr int kSpanValues = kPieces * kPiece;

template <int Threads>
struct RowSpan {
  static constexpr int64_t kLength = int64_t(Threads) * kSpanValues;
  float values[kSpanValues];  // piece p of thread t begins at element (p * Threads + t) * kPiece of the span

  // Elements first .. first + kLength - 1 of a row; zeros beyond its end.
  __device__ __forceinline__ void load(const Rows& rows, int64_t row, int64_t first) {
    const int64_t begin = row * rows.row_stride;
    // One branch around all loads of a dtype, so that they are in flight together.
    if (rows.dtype == DType::f32)
      load_as<DType::f32>(rows, begin, first);
    else if (rows.dtype == DType::bf16)
      load_as<DType::bf16>(rows, begin, first);
    else
      load_as<DType::f16>(rows, begin, first);
  }

  // To the same elements of a row.
  __device__ __forceinline__ void store(const Rows& rows, int64_t row, int64_t first) const {
    const bool whole_pieces = in_whole_pieces(rows);
    void* data = const_cast<void*>(rows.data);
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int64_t d = first + offset_of_piece(p), element = row * rows.row_stride + d;
      if (whole_pieces) {
        if (d < rows.dim) store_piece(data, rows.dtype, element, values + p * kPiece);
      } else {
#pragma unroll
        for (int i = 0; i < kPiece; ++i)
          if (d + i < rows.dim) store_element(data, rows.dtype, element + i, values[p * kPiece + i]);
      }
    }
  }

 private:
  static __device__ int offset_of_piece(int p) { return (p * Threads + int(threadIdx.x) % Threads) * kPiece; }

  // Whether every piece lies within its row, 16-byte aligned.
  static __device__ bool in_whole_pieces(const Rows& rows) {
    const int element_bytes = rows.dtype == DType::f32 ? 4 : 2;
    return rows.dim % kPiece == 0 && rows.row_stride * element_bytes % sizeof(uint4) == 0 &&
           reinterpret_cast<uintptr_t>(rows.data) % sizeof(uint4) == 0;
  }

  template <DType dtype>
  __device__ __forceinline__ void load_as(const Rows& rows, int64_t begin, int64_t first) {
    if (in_whole_pieces(rows)) {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        const int64_t d = first + offset_of_piece(p);
        load_piece<dtype>(element_address(rows.data, dtype, begin + d), d < rows.dim, values + p * kPiece);
      }
    } else {
#pragma unroll
      for (int p = 0; p < kPieces; ++p)
#pragma unroll
        for (int i = 0; i < kPiece; ++i) {
          const int64_t d = first + offset_of_piece(p) + i;
          values[p * kPiece + i] = d < rows.dim ? load_element(rows.data, dtype, begin + d) : 0.0f;
        }
    }
  }

  template <DType dtype>
  static __device__ __forceinline__ void load_piece(const void* address, bool within, float* piece) {
    constexpr int per_access = dtype == DType::f32 ? 4 : 8;
#pragma unroll
    for (int i = 0; i < kPiece; i += per_access) {
      uint4 words = make_uint4(0, 0, 0, 0);
      if (within) words = static_cast<const uint4*>(address)[i / per_access];
      const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
      for (int j = 0; j < per_access; ++j)
        if constexpr (dtype == DType::f32)
          piece[i + j] = float_from_bits(word[j]);
        else
          piece[i + j] = widen<dtype>(uint16_t(word[j / 2] >> 16 * (j % 2)));
    }
  }

  template <DType dtype>
  static __device__ __forceinline__ float widen(uint16_t bits) {
    return dtype == DType::bf16 ? widen_bf16(bits) : widen_f16(bits);
  }

  // By intrinsics: the compiler splits other stores of 16 bytes, whose words come from branches, into four.
  static __device__ __forceinline__ void store_piece(void* data, DType dtype, int64_t element,
                                                     const float* piece) {
    if (dtype == DType::f32) {
      uint4* target = reinterpret_cast<uint4*>(static_cast<float*>(data) + element);
      __stwb(target, four(piece, bits_of_float));
      __stwb(target + 1, four(piece + 4, bits_of_float));
      return;
    }
    uint4* target = reinterpret_cast<uint4*>(static_cast<uint16_t*>(data) + element);
    if (dtype == DType::bf16)
      __stwb(target, halves(piece, round_to_bf16));
    else
      __stwb(target, halves(piece, round_to_f16));
  }

  static __device__ __forceinline__ uint4 four(const float* values, uint32_t (*bits)(float)) {
    return make_uint4(bits(values[0]), bits(values[1]), bits(values[2]), bits(values[3]));
  }

  static __device__ __forceinline__ uint4 halves(const float* values, uint16_t (*round)(float)) {
    const auto pair = [&](int i) { return round(values[i]) | uint32_t(round(values[i + 1])) << 16; };
    return make_uint4(pair(0), pair(2), pair(4), pair(6));
  }
};

}  // namespace fastret::cuda
