// What the rows of inverted lists add to the squared distances of every query, where their codes are of
// residuals. A row is y_C + y_R, the centroid of its list and what its codes stand for, and
// |x - y_C - y_R|^2 = |x - y_C|^2 + (|y_R|^2 + 2 y_C.y_R) - 2 x.y_R: the term of a row is what the bracket
// holds.
#pragma once
#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "kernels/cpu/product_columns.h"
#include "kernels/product_codes.h"

namespace fastret::cpu {

// Made list by list, when a search first visits them. Several threads may ask at once.
class ListTerms {
 public:
  // terms [capacity] are written to. All that is given must outlive this.
  ListTerms(const ProductColumns& columns, const CodeLists& lists, int64_t num_lists, float* terms);

  bool made(int64_t list) const { return made_[size_t(list)].load(std::memory_order_acquire); }

  // As float32 sums over the codes of (2 y_C.c + |c|^2), each step rounded. centroid: [D], of the list.
  void make(int64_t list, const float* centroid);

 private:
  const ProductColumns& columns_;
  CodeLists lists_;
  float* terms_;
  std::vector<float> squares_;
  std::vector<std::atomic<bool>> made_;
  std::array<std::mutex, 16> making_;  // by the last digit of the list
};

}  // namespace fastret::cpu
