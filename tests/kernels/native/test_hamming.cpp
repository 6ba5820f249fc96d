// Hamming distances against the bits counted one by one, for every instruction set.
#include <algorithm>

#include "definitions.h"
#include "expect.h"
#include "groups.h"
#include "kernels/cpu/hamming.h"
#include "kernels/isa.h"
#include "threads.h"
#include "vectors.h"

namespace fastret::test {
namespace {

struct Neighbour {
  int32_t distance;
  int64_t id;
  bool operator<(const Neighbour& o) const {
    return distance != o.distance ? distance < o.distance : id < o.id;
  }
  bool operator==(const Neighbour& o) const { return distance == o.distance && id == o.id; }
};

int32_t distance(const uint8_t* a, const uint8_t* b, int64_t bytes) {
  int32_t bits = 0;
  for (int64_t i = 0; i < 8 * bytes; ++i) bits += (a[i / 8] ^ b[i / 8]) >> i % 8 & 1;
  return bits;
}

// Lists overlap and do not hold everything; ids fall with places.
struct Lists {
  ExactArray<int64_t> ids, starts, sizes, probes;
  ProbedLists view;

  Lists(int64_t queries, int64_t keys) : ids{size_t(keys)}, starts{3}, sizes{3}, probes{size_t(2 * queries)} {
    for (int64_t i = 0; i < keys; ++i) ids[size_t(i)] = keys - i;
    for (int64_t l = 0; l < 3; ++l) starts[size_t(l)] = l * keys / 4, sizes[size_t(l)] = keys / (l + 2);
    for (int64_t q = 0; q < queries; ++q) {
      probes[size_t(2 * q)] = q % 3;
      probes[size_t(2 * q + 1)] = q % 2 ? -1 : (q + 1) % 3;
    }
    view = {ids.data(), starts.data(), sizes.data(), 3, probes.data(), 2};
  }
};

std::vector<Neighbour> ranked(const HammingParams& p, int64_t q) {
  std::vector<Neighbour> all;
  const auto visit = [&](int64_t first, int64_t count) {
    for (int64_t place = first; place < first + count; ++place)
      if (!p.allowed || p.allowed[place])
        all.push_back({distance(p.queries + q * p.bytes, p.keys + place * p.bytes, p.bytes),
                       p.lists ? p.lists->ids[place] : place});
  };
  if (!p.lists) visit(0, p.num_keys);
  for (int64_t j = 0; p.lists && j < p.lists->num_probes; ++j) {
    const int64_t list = p.lists->probes[q * p.lists->num_probes + j];
    if (list >= 0) visit(p.lists->starts[list], p.lists->sizes[list]);
  }
  std::sort(all.begin(), all.end());
  return all;
}

void check(int64_t queries, int64_t keys, int64_t bytes, int64_t k, bool few, bool filtered, bool in_lists) {
  Random random(uint64_t(queries * 7 + keys * 5 + bytes * 3 + k));
  ExactArray<uint8_t> q{size_t(queries * bytes)}, x{size_t(keys * bytes)};
  ExactArray<bool> allowed{size_t(keys)};
  const auto byte = [&] { return uint8_t(random() % (few ? 4 : 256)); };
  for (int64_t i = 0; i < queries * bytes; ++i) q[size_t(i)] = byte();
  for (int64_t i = 0; i < keys * bytes; ++i) x[size_t(i)] = byte();
  // Every bit differs.
  for (int64_t i = 0; i < bytes && keys; ++i) x[size_t(i)] = uint8_t(~q[size_t(i)]);
  for (int64_t i = 0; i < keys; ++i) allowed[size_t(i)] = random() % 3 > 0;
  const Lists lists(queries, keys);
  HammingParams params{q.data(), queries, x.data(), keys, bytes};
  if (filtered) params.allowed = allowed.data();
  if (in_lists) params.lists = &lists.view;
  const int64_t radius = 4 * bytes;
  for (const char* const* isa = available_isas(); *isa; ++isa) {
    use_isa(*isa);
    ExactArray<int32_t> distances{size_t(queries * k)};
    ExactArray<int64_t> ids{size_t(queries * k)};
    cpu::hamming_search(params, k, distances.data(), ids.data(), threads<2>());
    const cpu::HammingFound found = cpu::hamming_range_search(params, radius, threads<2>());
    for (int64_t r = 0; r < queries; ++r) {
      std::vector<Neighbour> want = ranked(params, r);
      for (int64_t j = 0; j < k; ++j) {
        const Neighbour got{distances[size_t(r * k + j)], ids[size_t(r * k + j)]};
        const Neighbour wanted = j < int64_t(want.size()) ? want[size_t(j)] : Neighbour{kNoDistance, -1};
        expect(got == wanted, "hamming, ", *isa, ", Q ", queries, ", N ", keys, ", B ", bytes, ", k ", k,
               ", query ", r, ", place ", j, ": id ", got.id, " at ", got.distance, ", wanted ", wanted.id,
               " at ", wanted.distance);
      }
      want.erase(std::remove_if(want.begin(), want.end(), [&](auto& n) { return n.distance >= radius; }),
                 want.end());
      std::stable_sort(want.begin(), want.end(), [](auto& a, auto& b) { return a.id < b.id; });
      const int64_t first = found.lims[size_t(r)], count = found.lims[size_t(r) + 1] - first;
      bool same = count == int64_t(want.size());
      for (int64_t j = 0; same && j < count; ++j)
        same = want[size_t(j)] == Neighbour{found.distances[size_t(first + j)], found.ids[size_t(first + j)]};
      expect(same, "hamming range, ", *isa, ", N ", keys, ", B ", bytes, ", query ", r);
    }
  }
}

}  // namespace

void test_hamming() {
  for (const int64_t bytes : {0, 1, 3, 8, 13, 16, 32, 64, 100, 264})
    for (const int64_t keys : {0, 1, 31, 257})
      for (const int64_t queries : {1, 20}) {
        check(queries, keys, bytes, 7, bytes % 2, false, false);
        check(queries, keys, bytes, 40, bytes % 2, true, true);
      }
  check(20, 5000, 8, 60, true, false, false);
  check(2, 5000, 8, 60, true, true, false);
  check(20, 5000, 3, 60, true, false, true);
}

}  // namespace fastret::test
