// What a search keeps of a query's keys, and the selection behind its thresholds.
#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/candidates.h"
#include "vectors.h"

namespace fastret::test {
namespace {

constexpr size_t kNoLimit = size_t(-1);

struct Kept {
  Sink sink;
  cpu::Candidates candidates;
  std::vector<float> scratch;

  explicit Kept(size_t capacity) : candidates(sink, capacity) {}

  // As filter_tile and Scan do it; the interval is `upper - width` to `upper`.
  void push(float upper, uint32_t place) {
    sink.uppers[sink.count] = upper;
    sink.places[sink.count++] = place;
    if (candidates.full(sink)) candidates.grow(sink, 2 * size_t(sink.count));
  }
  void settle(float width) {
    candidates.settle(sink, [&](float upper, uint32_t) { return upper - width; });
  }
  void tighten(size_t k, size_t limit = kNoLimit) { candidates.tighten(sink, k, limit, scratch); }
};

void what_may_still_win_is_kept() {
  Kept kept(4), other(4);
  for (uint32_t place = 0; place < 10; ++place) kept.push(float(place) + 0.5f, place);
  kept.settle(1);
  kept.tighten(2);
  expect(kept.sink.threshold == 7.5f, "threshold ", kept.sink.threshold);
  // An upper end that equals the threshold stays: the scores could be equal, and then the id decides.
  expect(kept.sink.count == 3, kept.sink.count, " candidates stay");

  other.push(9.0f, 10);
  other.settle(1);
  kept.candidates.merge(kept.sink, other.candidates, other.sink);
  expect(kept.sink.count == 4 && other.sink.count == 0, "merged: ", kept.sink.count);
  kept.tighten(2);
  expect(kept.sink.count == 3 && kept.sink.threshold == 8.0f, "merged: threshold ", kept.sink.threshold);
}

void the_higher_threshold_of_two_parts_is_kept() {
  Kept kept(4), other(4);
  kept.push(5, 0);
  kept.settle(0);
  other.push(7, 1);
  other.push(8, 2);
  other.settle(0);
  other.tighten(2);
  kept.candidates.merge(kept.sink, other.candidates, other.sink);
  expect(kept.sink.threshold == 7, "threshold ", kept.sink.threshold);
  kept.tighten(2);
  expect(kept.sink.count == 2 && kept.sink.places[0] == 1 && kept.sink.places[1] == 2, "places");
}

void a_lower_end_that_is_nan_drops_its_candidate() {
  Kept kept(4);
  for (uint32_t place = 0; place < 3; ++place) kept.push(float(place), place);
  kept.candidates.settle(kept.sink, [](float upper, uint32_t place) { return place == 1 ? kNan : upper; });
  expect(kept.sink.count == 2 && kept.sink.places[1] == 2 && kept.sink.uppers[1] == 2, "dropped");
}

void the_highest_candidate_drops_others_without_a_look_up() {
  Kept kept(8);
  int looked_up = 0;
  const auto raise = [&](float width) {
    kept.candidates.raise_to_highest(kept.sink, [&](float upper, uint32_t) {
      ++looked_up;
      return upper - width;
    });
  };
  for (uint32_t place = 0; place < 6; ++place) kept.push(float(place), place);
  raise(2);
  expect(looked_up == 1 && kept.sink.threshold == 3, "threshold ", kept.sink.threshold);
  expect(kept.sink.count == 3 && kept.sink.places[0] == 3, "one of an equal upper end stays");
  kept.settle(2);
  kept.tighten(1);
  expect(kept.sink.threshold == 3 && kept.sink.count == 3, "tightened: ", kept.sink.count);
  kept.push(9, 6);
  raise(kNan);
  expect(kept.sink.threshold == 3 && kept.sink.count == 4, "no candidate raises nothing");
}

void too_many_overflow() {
  Kept kept(8), other(8);
  for (uint32_t place = 0; place < 20; ++place) kept.push(1, place);
  kept.settle(2);
  kept.tighten(1, 19);
  expect(kept.candidates.overflowed() && kept.sink.count == 0, "too many candidates overflow");
  expect(kept.sink.threshold == kInf, "an overflowed query lets nothing through");
  other.push(3, 1);
  other.settle(0);
  other.candidates.merge(other.sink, kept.candidates, kept.sink);
  expect(other.candidates.overflowed(), "overflow survives a merge");
}

void a_guessed_threshold_needs_proof() {
  Kept kept(8), other(8);
  kept.sink.threshold = 5;
  kept.candidates.speculate(kept.sink);
  kept.push(9, 0);
  kept.push(6, 1);
  kept.settle(2);
  kept.tighten(2);
  expect(kept.candidates.speculative() && kept.sink.threshold == 5, "one lower end is no proof for k = 2");
  other.push(7, 2);
  other.settle(1);
  kept.candidates.merge(kept.sink, other.candidates, other.sink);
  expect(kept.candidates.speculative(), "the guess of the merged is the higher one");
  kept.tighten(2);
  expect(!kept.candidates.speculative() && kept.sink.threshold == 6,
         "two lower ends prove it: ", kept.sink.threshold);
}

void the_kth_largest_is_that_of_a_sort() {
  Random random(5);
  std::vector<float> scratch;
  for (int round = 0; round < 400; ++round) {
    const size_t n = 1 + random() % (round % 2 ? 40 : 3000), k = 1 + random() % n;
    std::vector<float> values(n);
    for (size_t i = 0; i < n; ++i) values[i] = round % 3 ? bell(random) : float(random() % 5);
    if (round % 7 == 0) std::sort(values.begin(), values.end());
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end(), std::greater<float>());
    const float got = cpu::kth_largest(values.data(), n, k, scratch);
    expect(got == sorted[k - 1], "kth_largest, n ", n, ", k ", k, ": ", got, ", wanted ", sorted[k - 1]);
  }
}

void exact_best_orders_ties_by_id() {
  cpu::ExactBest best(3), later(3);
  for (int64_t id = 0; id < 500; ++id) best.push(float(id % 2), id);
  for (int64_t id = 500; id < 1000; ++id) later.push(id == 777 ? 2.0f : 1.0f, id);
  best.push(kNan, 1000);
  best.merge(later);
  const auto& sorted = best.sorted();
  expect(sorted.size() == 3 && sorted[0].id == 777 && sorted[1].id == 1 && sorted[2].id == 3, "ties by id");
}

}  // namespace

void test_candidates() {
  what_may_still_win_is_kept();
  the_higher_threshold_of_two_parts_is_kept();
  a_lower_end_that_is_nan_drops_its_candidate();
  the_highest_candidate_drops_others_without_a_look_up();
  too_many_overflow();
  a_guessed_threshold_needs_proof();
  the_kth_largest_is_that_of_a_sort();
  exact_best_orders_ties_by_id();
}

}  // namespace fastret::test
