// Reading and writing the codes of a row.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/product_codes.h"

namespace fastret::cpu {

// Gives the codes of a row one after the other, and looks at no byte beyond them.
class ByteReader {
 public:
  explicit ByteReader(const uint8_t* row) : at_(row) {}
  uint32_t next() { return *at_++; }

 private:
  const uint8_t* at_;
};

class NibbleReader {
 public:
  explicit NibbleReader(const uint8_t* row) : at_(row) {}

  uint32_t next() {
    const uint32_t code = *at_ >> shift_ & 15;
    at_ += shift_ / 4;
    shift_ ^= 4;
    return code;
  }

 private:
  const uint8_t* at_;
  uint32_t shift_ = 0;
};

class BitReader {
 public:
  BitReader(const uint8_t* row, int nbits) : at_(row), nbits_(nbits) {}

  uint32_t next() {
    for (; left_ < nbits_; left_ += 8) bits_ |= uint32_t(*at_++) << left_;
    const uint32_t code = bits_ & ((1u << nbits_) - 1);
    bits_ >>= nbits_;
    left_ -= nbits_;
    return code;
  }

 private:
  const uint8_t* at_;
  int nbits_, left_ = 0;
  uint32_t bits_ = 0;
};

// Calls f(makes a reader of a row) for codes of nbits bits.
template <class F>
void with_code_reader(int nbits, F&& f) {
  if (nbits == 8)
    f([](const uint8_t* row) { return ByteReader(row); });
  else if (nbits == 4)
    f([](const uint8_t* row) { return NibbleReader(row); });
  else
    f([nbits](const uint8_t* row) { return BitReader(row, nbits); });
}

constexpr int64_t kCodeRowsInFlight = 4;

// sums[j] = t_0 + t_1 + ... + t_(M-1), rounded each time, where t_m is the entry of table m at code m of
// rows[j].
template <class ReaderOf>
void table_sums(ReaderOf reader_of, const uint8_t* const* rows, int64_t num_codes, const float* tables,
                int64_t table_stride, float* sums) {
  auto readers = std::array{reader_of(rows[0]), reader_of(rows[1]), reader_of(rows[2]), reader_of(rows[3])};
  static_assert(readers.size() == kCodeRowsInFlight);
  std::fill_n(sums, kCodeRowsInFlight, 0.0f);
  for (int64_t m = 0; m < num_codes; ++m, tables += table_stride)
    for (size_t j = 0; j < readers.size(); ++j) sums[j] += tables[readers[j].next()];
}

// Adds code m to a row that was zero before.
inline void put_code(uint8_t* row, int64_t m, int nbits, uint32_t code) {
  const int64_t first = m * nbits;
  code <<= first % 8;
  for (int64_t byte = first / 8; code; ++byte, code >>= 8) row[byte] |= uint8_t(code);
}

}  // namespace fastret::cpu
