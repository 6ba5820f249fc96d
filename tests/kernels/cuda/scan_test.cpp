// The scans, run unmodified on the simulator, keep all pairs of keys and queries that the error bound leaves
// possible and no filter forbids, and no others; and which of them scans.
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/scan.h"
#include "kernels/cuda/scan_choice.h"
#include "matrices.h"
#include "run_cases.h"

using namespace fastret;
using namespace fastret::cuda;

namespace {

void (*scan_by)(Launcher&, const ScanParams&) = scan_hopper;

struct Scan {
  int64_t queries, keys, dim;
  bool only_scanned = false;
  int64_t first_visit = 0, num_visits = -1;  // -1: all tiles
  bool filtered = false;
  int64_t capacity = 0;  // 0: of all keys
  bool finer = false;    // of every third query
};

// Small multiples of `unit`, whose products and sums are exact in any order.
std::vector<uint16_t> plane(int64_t rows, int64_t allocated_rows, int64_t dim, std::mt19937& random,
                            float unit = 1) {
  const int64_t stride = plane_stride(dim);
  std::vector<uint16_t> high(size_t(allocated_rows * stride), 0xffff);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < stride; ++d)
      high[size_t(r * stride + d)] =
          d < dim ? high_of(bits_of_float(unit * (float(int(random() % 7)) - 3))) : uint16_t(0);
  return high;
}

void check_scan(const char* name, const Scan& s) {
  std::mt19937 random(11);
  const int64_t stride = plane_stride(s.dim), tiles = ceil_div(s.keys, kKeyTile);
  const TileOrder order = {tiles, std::max<int64_t>(1, tiles - 1)};
  const int64_t visits = s.num_visits < 0 ? tiles : s.num_visits;
  const std::vector<uint16_t> queries =
      plane(s.queries, ceil_div(s.queries, kMostScanQueries) * kMostScanQueries, s.dim, random);
  const std::vector<uint16_t> all_keys = plane(s.keys, tiles * kKeyTile, s.dim, random);
  const std::vector<uint16_t> query_middles = plane(s.queries, s.queries, s.dim, random, 0x1p-8f);
  const std::vector<uint16_t> all_middles = plane(s.keys, tiles * kKeyTile, s.dim, random, 0x1p-8f);
  const auto visited = [&](const std::vector<uint16_t>& rows) {
    std::vector<uint16_t> tiles_of_scan;
    for (int64_t v = 0; v < visits; ++v) {
      const auto tile = rows.begin() + order[s.first_visit + v] * kKeyTile * stride;
      tiles_of_scan.insert(tiles_of_scan.end(), tile, tile + kKeyTile * stride);
    }
    return tiles_of_scan;
  };
  const std::vector<uint16_t> keys = s.only_scanned ? visited(all_keys) : all_keys;
  const std::vector<uint16_t> key_middles = visited(all_middles);
  std::vector<uint32_t> list = {0};
  for (int64_t q = 1; s.finer && q < s.queries; q += 3) list.push_back(uint32_t(q));
  list[0] = uint32_t(list.size() - 1);
  std::vector<KeyFacts> key_facts(size_t(tiles * kKeyTile), KeyFacts{kNan, kNan, kNan, kNan});
  for (int64_t n = 0; n < s.keys; ++n) {
    key_facts[size_t(n)] = {n % 5 ? 1.0f : 0.5f, float(n % 3), 0.25f * float(n % 4), 2.0f};
    if (n % 61 == 7) key_facts[size_t(n)].residual = kNan;
    if (n % 299 == 8) key_facts[size_t(n)].residual = kInf;
  }
  std::vector<QueryFacts> query_facts;
  std::vector<float> thresholds;
  for (int64_t q = 0; q < s.queries; ++q) {
    query_facts.push_back({1.0f, 0.5f, 0.25f * float(q % 2), q % 4 ? kInf : 20.0f, q % 4 ? kInf : 20.0f});
    const float usual = float(4 * s.dim) / 8;
    thresholds.push_back(q % 9 == 3 ? kInf : q % 9 == 4 ? -kInf : usual + float(q % 5));
  }
  const auto allowed = std::make_unique<bool[]>(size_t(s.keys));
  std::vector<int64_t> excluded, query_labels, key_labels;
  for (int64_t n = 0; n < s.keys; ++n) {
    allowed[size_t(n)] = n % 7 != 2;
    key_labels.push_back(n % 6);
  }
  for (int64_t q = 0; q < s.queries; ++q) {
    query_labels.push_back(q % 6);
    excluded.insert(excluded.end(), {q, -1, s.keys - 1 - q});
  }

  ScanParams p = {};
  p.queries = queries.data();
  p.query_facts = query_facts.data();
  p.thresholds = thresholds.data();
  p.num_queries = s.queries;
  p.keys = keys.data();
  p.only_scanned = s.only_scanned;
  p.key_facts = key_facts.data();
  p.num_keys = s.keys;
  p.stride = stride;
  p.order = order;
  p.first_visit = s.first_visit;
  p.num_visits = visits;
  p.squared_extra = 0.125f;
  if (s.finer) p.finer = {list.data(), query_middles.data(), key_middles.data()};
  if (s.filtered) p.filter = {allowed.get(), excluded.data(), 3, query_labels.data(), key_labels.data()};

  std::vector<std::vector<uint64_t>> expected(size_t(s.queries));
  for (int64_t q = 0; q < s.queries; ++q) {
    const float threshold = thresholds[size_t(q)];
    if (s.finer && q % 3 != 1) continue;
    for (int64_t i = 0; i < visits * kKeyTile; ++i) {
      const int64_t n = order[s.first_visit + i / kKeyTile] * kKeyTile + i % kKeyTile;
      if (n >= s.keys || threshold == kInf) continue;
      if (s.filtered && (!allowed[size_t(n)] || n == q || n == s.keys - 1 - q || q % 6 == n % 6)) continue;
      const KeyFacts& facts = key_facts[size_t(n)];
      float product = 0;
      for (int64_t d = 0; d < s.dim; ++d) {
        const float query = widen_bf16(queries[size_t(q * stride + d)]);
        const float key = widen_bf16(all_keys[size_t(n * stride + d)]);
        product += query * key;
        if (s.finer)
          product += query * widen_bf16(all_middles[size_t(n * stride + d)]) +
                     widen_bf16(query_middles[size_t(q * stride + d)]) * key;
      }
      const float value = product * facts.scale + facts.bias;
      const Ends interval = ends(value, query_facts[size_t(q)], p.squared_extra, facts);
      if (interval.upper >= threshold && !(interval.lower > query_facts[size_t(q)].ceiling_high))
        expected[size_t(q)].push_back(rank_key(ordered_bits(value), uint32_t(n)));
    }
  }

  const int64_t capacity = s.capacity ? s.capacity : s.keys;
  std::vector<uint64_t> entries(size_t(s.queries * capacity));
  std::vector<uint32_t> counts(size_t(s.queries));
  p.survivors = {entries.data(), counts.data(), capacity};
  Launcher launch(nullptr);
  if (s.finer)
    scan_finer(launch, p, 3);
  else
    scan_by(launch, p);
  expect(launch.error() == cudaSuccess, std::string(name) + ": launches");
  for (int64_t q = 0; q < s.queries; ++q) {
    std::vector<uint64_t>& due = expected[size_t(q)];
    expect(counts[size_t(q)] == due.size(), std::string(name) + ": query " + std::to_string(q) + " keeps " +
                                                std::to_string(counts[size_t(q)]) + " keys, expected " +
                                                std::to_string(due.size()));
    const auto first = entries.begin() + q * capacity;
    std::vector<uint64_t> kept(first, first + std::min<int64_t>(capacity, counts[size_t(q)]));
    std::sort(kept.begin(), kept.end());
    std::sort(due.begin(), due.end());
    expect(std::includes(due.begin(), due.end(), kept.begin(), kept.end()),
           std::string(name) + ": query " + std::to_string(q) + " keeps other keys or values");
  }
}

void few_queries() {
  for (int64_t queries : {1, 8, 13, 32, 50}) check_scan("queries as columns", {queries, 530, 70});
  check_scan("only the scanned tiles, filtered", {64, 1400, 40, true, 1, 4, true});
}

void one_tile() {
  check_scan("queries as rows", {65, 530, 70});
  check_scan("only the scanned tiles, filtered", {128, 1400, 40, true, 1, 4, true});
}

void several_tiles() {
  check_scan("two tiles of queries, filtered", {256, 900, 70, false, 0, -1, true});
  check_scan("three tiles of queries, many steps", {300, 300, 330});
  check_scan("more than there is room for", {130, 600, 70, false, 0, -1, false, 16});
}

void nothing() {
  check_scan("no tiles", {5, 600, 70, false, 2, 0});
  check_scan("no queries", {0, 600, 70});
}

// The same of the portable scan.
void portable() {
  scan_by = scan_portable;
  few_queries();
  one_tile();
}

void finer() {
  for (int64_t queries : {1, 40, 400}) {
    Scan s = {queries, 600, 70};
    s.finer = true;
    check_scan("finer", s);
    s = {queries, 1400, 40, true, 1, 4, true};
    s.finer = true;
    check_scan("only the scanned tiles, filtered", s);
  }
}

// Whether a search scans by the Hopper kernel, told from the threads of its blocks.
void choice() {
  const auto scans_on_hopper = [] {
    ScanParams p = {};
    std::vector<uint16_t> rows(size_t(kKeyTile * 64));
    std::vector<KeyFacts> key_facts(size_t(kKeyTile), KeyFacts{1, 0, 0, 0});
    const QueryFacts query_facts = {};
    const float threshold = kInf;
    p.queries = p.keys = rows.data();
    p.query_facts = &query_facts;
    p.thresholds = &threshold;
    p.num_queries = p.num_keys = p.num_visits = 1;
    p.key_facts = key_facts.data();
    p.stride = 64;
    p.order = {1, 1};
    Launcher launch(nullptr);
    scan(launch, p);
    expect(launch.error() == cudaSuccess, "launches");
    return blockDim.x != unsigned(kThreads);
  };
  const auto is_capability = [](int major, int minor) {
    simt::device_attributes[cudaDevAttrComputeCapabilityMajor] = major;
    simt::device_attributes[cudaDevAttrComputeCapabilityMinor] = minor;
  };

  const SearchKernel initial = search_kernel();
  use_search_kernel(SearchKernel::portable);
  expect(!scans_on_hopper(), "portable is portable");
  use_search_kernel(SearchKernel::automatic);
  expect(scans_on_hopper(), "auto is hopper on 9.0");
  expect(runs_here(SearchKernel::hopper), "hopper runs on 9.0");
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 9}, {10, 0}, {9, 1}}) {
    is_capability(major, minor);
    expect(!scans_on_hopper(), "auto is portable elsewhere");
    expect(!runs_here(SearchKernel::hopper), "hopper does not run elsewhere");
    expect(runs_here(SearchKernel::portable) && runs_here(SearchKernel::automatic),
           "the others run everywhere");
  }
  is_capability(9, 0);
  use_search_kernel(SearchKernel::hopper);
  expect(scans_on_hopper(), "hopper is hopper");
  for (const SearchKernel kernel : {SearchKernel::portable, SearchKernel::hopper, SearchKernel::automatic})
    expect(search_kernel_named(name_of(kernel)) == kernel, "names tell the kernels");
  expect(!search_kernel_named("Hopper") && !search_kernel_named(""), "other names tell none");
  use_search_kernel(initial);
}

// What FASTRET_SEARCH_KERNEL has chosen.
void chosen() {
  std::puts(name_of(search_kernel()));
}

}  // namespace

int main(int argc, char** argv) {
  simt::machine.slowness = 60;
  constexpr Case cases[] = {
      {"few_queries", few_queries}, {"one_tile", one_tile}, {"several_tiles", several_tiles},
      {"nothing", nothing},         {"portable", portable}, {"finer", finer},
      {"choice", choice},           {"chosen", chosen}};
  return run_cases(cases, argc, argv);
}
