// What a search on the simulator computes on its way to the answer, for a model of its schedule to be
// compared with. Usage: search_schedule METRIC Q N D k LEAST_CAPACITY PLANE_BYTES FOLDER. Reads FOLDER/rows
// (queries, then keys, float32) and writes there: `facts` and `finer_facts` of queries, `key_facts`, `plan`,
// and after each run of tiles `appended`, `thresholds`, `answers` and `kept` pairs of a query and a key.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/split_rows.cuh"
#include "kernels/cuda/tighten.cuh"
#include "simt.h"
#include "sort_keys_host.h"

namespace fastret::cuda {
void trace_split(Launcher& launch, const Rows& queries, Metric metric, const float* ceilings, bool scan,
                 const QueryState& state);
void trace_tighten(Launcher& launch, const TightenParams& params, int64_t num_queries);
}  // namespace fastret::cuda

// The search itself, which calls the functions above in place of those that they look over the shoulder of.
#define split_queries trace_split
#define tighten trace_tighten
#include "kernels/cuda/search.cu"
#undef split_queries
#undef tighten

namespace {

std::string folder;
int64_t num_keys;

template <class T>
void write(const char* name, const T* data, size_t count, const char* mode = "ab") {
  std::FILE* file = std::fopen((folder + "/" + name).c_str(), mode);
  if (!file || std::fwrite(data, sizeof(T), count, file) != count || std::fclose(file) != 0) std::exit(1);
}

}  // namespace

namespace fastret::cuda {

void scan(Launcher& launch, const ScanParams& params) {
  scan_portable(launch, params);
}

void trace_split(Launcher& launch, const Rows& queries, Metric metric, const float* ceilings, bool scan,
                 const QueryState& state) {
  split_queries(launch, queries, metric, ceilings, scan, state);
  write("facts", state.facts, size_t(queries.rows));
  write("finer_facts", state.finer_facts, size_t(queries.rows));
}

void trace_tighten(Launcher& launch, const TightenParams& p, int64_t num_queries) {
  const size_t count = size_t(num_queries);
  write("appended", p.survivors.counts, count);
  tighten(launch, p, num_queries);
  write("thresholds", p.thresholds, count);
  write("answers", p.answers, count);
  write("key_facts", p.key_facts, size_t(num_keys), "wb");
  std::vector<int64_t> kept;
  for (int64_t q = 0; q < num_queries; ++q)
    for (uint32_t i = 0; i < p.survivors.counts[q]; ++i)
      kept.insert(kept.end(), {q, position_of_key(p.survivors.keys[q * p.survivors.capacity + i])});
  const int64_t pairs = int64_t(kept.size() / 2);
  write("kept", &pairs, 1);
  write("kept", kept.data(), kept.size());
}

}  // namespace fastret::cuda

int main(int argc, char** argv) {
  using namespace fastret;
  if (argc != 9) return 2;
  const auto number = [argv](int i) { return int64_t(std::atoll(argv[i])); };
  const int64_t queries = number(2), dim = number(4), k = number(5);
  num_keys = number(3);
  folder = argv[8];
  std::vector<float> rows(size_t((queries + num_keys) * dim)), scores(size_t(queries * k));
  std::vector<int64_t> ids(scores.size());
  std::FILE* file = std::fopen((folder + "/rows").c_str(), "rb");
  if (!file || std::fread(rows.data(), sizeof(float), rows.size(), file) != rows.size()) return 2;
  std::fclose(file);

  const SearchParams params = {{rows.data(), queries, dim, dim, DType::f32},
                               {rows.data() + queries * dim, num_keys, dim, dim, DType::f32},
                               Metric(number(1)),
                               k,
                               scores.data(),
                               ids.data()};
  cuda::SearchTuning tuning = cuda::kSearchTuning;
  tuning.least_capacity = number(6);
  tuning.plane_bytes = number(7);
  const cuda::Plan plan = cuda::plan_search(params, false, tuning);
  std::vector<int64_t> planned = {cuda::kKeyTile,
                                  cuda::kDigitBits,
                                  plan.capacity,
                                  plan.order.tiles,
                                  plan.order.step,
                                  cuda::kSearchTuning.least_capacity,
                                  int64_t(plan.runs.ends.size())};
  for (const cuda::Runs* runs : {&plan.runs, &plan.finer_runs})
    planned.insert(planned.end(), runs->ends.begin(), runs->ends.end());
  write("plan", planned.data(), planned.size());
  std::vector<uint64_t> workspace(size_t(cuda::search_workspace_bytes(params, false, tuning) / 8 + 1));
  if (cuda::search(params, nullptr, workspace.data(), nullptr, tuning) != cudaSuccess) return 1;
  write("ids", ids.data(), ids.size());
  return 0;
}
