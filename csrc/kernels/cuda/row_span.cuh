// A stretch of a row in the registers of the threads that share the row.
#pragma once
#include <cuda_runtime.h>

#include "kernels/cuda/element.cuh"

namespace fastret::cuda {

constexpr int kPiece = 8;   // consecutive elements, which a thread moves in one or two accesses of 16 bytes
constexpr int kPieces = 4;  // of a thread: enough bytes in flight, and 32 registers
constexpr int kSpanValues = kPieces * kPiece;

struct alignas(16) Words {
  uint32_t word[4];
};

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
    return rows.dim % kPiece == 0 && rows.row_stride * element_bytes % sizeof(Words) == 0 &&
           reinterpret_cast<uintptr_t>(rows.data) % sizeof(Words) == 0;
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
      Words words = {};
      if (within) words = static_cast<const Words*>(address)[i / per_access];
#pragma unroll
      for (int j = 0; j < per_access; ++j)
        if constexpr (dtype == DType::f32)
          piece[i + j] = float_from_bits(words.word[j]);
        else
          piece[i + j] = widen<dtype>(uint16_t(words.word[j / 2] >> 16 * (j % 2)));
    }
  }

  template <DType dtype>
  static __device__ __forceinline__ float widen(uint16_t bits) {
    return dtype == DType::bf16 ? widen_bf16(bits) : widen_f16(bits);
  }

  static __device__ __forceinline__ void store_piece(void* data, DType dtype, int64_t element,
                                                     const float* piece) {
    Words words[2];
    if (dtype == DType::f32) {
#pragma unroll
      for (int i = 0; i < kPiece; ++i) words[i / 4].word[i % 4] = bits_of_float(piece[i]);
      Words* target = reinterpret_cast<Words*>(static_cast<float*>(data) + element);
      target[0] = words[0];
      target[1] = words[1];
      return;
    }
#pragma unroll
    for (int i = 0; i < kPiece; i += 2) {
      const bool bf16 = dtype == DType::bf16;
      const uint32_t low = bf16 ? round_to_bf16(piece[i]) : round_to_f16(piece[i]);
      const uint32_t high = bf16 ? round_to_bf16(piece[i + 1]) : round_to_f16(piece[i + 1]);
      words[0].word[i / 2] = low | high << 16;
    }
    *reinterpret_cast<Words*>(static_cast<uint16_t*>(data) + element) = words[0];
  }
};

}  // namespace fastret::cuda
