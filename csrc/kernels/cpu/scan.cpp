#include "kernels/cpu/scan.h"

#include <atomic>
#include <cmath>

#include "kernels/cpu/float_environment.h"

namespace fastret::cpu {
namespace {

constexpr int64_t kBlockBytes = 320 << 10;      // of panels: they stay in the second-level cache
constexpr int64_t kPackedOnceBytes = 32 << 20;  // so small, all keys are packed before the scan
constexpr int64_t kQueriesPerThread = 32;       // so many, threads share queries out rather than keys
constexpr int64_t kFewestSampledPanels = 4;
constexpr int64_t kSampledKeys = 4096;  // scanned first, from all over the keys

// So few queries wait for memory, and heads are fewer bytes; of more, some reach the rest of most panels.
constexpr int64_t kHeadQueries = 4;

// So many of a sample, of the share f, reach the k-th best of all keys but for one query in a hundred
// thousand: how many of the k best are in the sample is nearly a Poisson number of mean kf.
int64_t rank_in_sample(int64_t k, double share) {
  constexpr double kRisk = 1e-5;
  const double expected = double(k) * share;
  double term = std::exp(-expected), below = term;  // the chances of `rank - 1` and of less than `rank`
  int64_t rank = 1;
  if (expected > 500) return std::min(k, int64_t(std::ceil(expected + 4.5 * std::sqrt(expected))));
  for (; rank < k && 1 - below > kRisk; ++rank) {
    term *= expected / double(rank);
    below += term;
  }
  return rank;
}

// More candidates than this, and a finer pass (for float32: canonical scores of all keys) is cheaper. The
// fixed numbers on the right bound what a block of queries holds at once.
size_t candidate_limit(FirstPass pass, const Goal& goal, int64_t keys) {
  const bool finest = pass == FirstPass::float32;
  if (goal.threshold)
    return size_t(finest ? std::clamp<int64_t>(keys / 4, 4096, 65536)
                         : std::clamp<int64_t>(keys / 16, 2048, 16384));
  if (finest) return size_t(std::max({int64_t(4096), 8 * goal.k, std::min(keys / 8, int64_t(16384))}));
  return size_t(std::max({int64_t(2048), 6 * goal.k, std::min(keys / 48, int64_t(8192))}));
}

}  // namespace

Scan::Scan(const KeySet& keys, const QueryBlock& block, std::vector<int64_t> queries, PassChoice choice,
           Goal goal, const Parallel& parallel)
    : keys_(keys),
      block_(block),
      queries_(std::move(queries)),
      pass_(choice.pass),
      in_place_(choice.in_place),
      goal_(goal),
      parallel_(parallel),
      isa_(primitives()),
      principal_(keys.packed && keys.packed->first_pass == pass_ ? keys.packed->principal : nullptr),
      heads_first_(principal_ && int64_t(queries_.size()) <= kHeadQueries),
      steps_(panel_steps(pass_, keys.rows.dim)),
      head_steps_(principal_ ? panel_steps(pass_, principal_->head) : steps_),
      panel_bytes_(head_steps_ * kPanelKeys * 4),
      num_panels_(num_panels(keys.rows.rows)),
      limit_(candidate_limit(pass_, goal, keys.rows.rows)),
      frame_(in_place_ ? Frame{std::vector<float>(size_t(keys.rows.dim), 0.0f),
                               std::vector<float>(size_t(keys.rows.dim), 0.0f)}
                       : keys.frame()),
      query_shift_(keys.metric == Metric::l2 ? frame_.centre
                                             : std::vector<float>(size_t(keys.rows.dim), 0.0f)),
      bound_(in_place_ ? ErrorBound::in_place(keys.metric, keys.rows.dim)
                       : bound_of(keys.metric, pass_, keys.rows.dim, frame_.centre.data(), principal_)),
      bounds_(queries_.size()),
      scales_(queries_.size()),
      ceilings_(queries_.size()),
      facts_(queries_.size()),
      head_facts_(queries_.size()),
      starts_(queries_.size()),
      tail_starts_(queries_.size()) {}

void Scan::run() {
  const int64_t count = int64_t(queries_.size()), threads = parallel_.num_threads;
  if (keys_.packed && keys_.packed->first_pass == pass_) {
    panels_ = static_cast<const char*>(keys_.packed->panels);
    panel_facts_ = keys_.packed->facts;
    if (keys_.packed->has_unbounded) list_all_unbounded();
  } else if (!in_place_ && num_panels_ * panel_bytes_ <= kPackedOnceBytes) {
    pack_keys_once();
  }
  // Packed keys are as cheap for every thread: share the queries out where there are enough. Else each thread
  // takes a part of the keys, packs it, and all queries meet it.
  const bool share_queries = panels_ ? count >= threads * kQueriesPerThread : num_panels_ < threads * 128;
  key_parts_ = share_queries ? 1 : std::clamp<int64_t>(num_panels_ / 8, 1, threads);
  pack_queries();
  const int64_t groups = int64_t(group_starts_.size()) - 1;
  const int64_t query_parts = share_queries ? std::min(threads, groups) : 1;

  // The first panel tells the best key so far well enough to leave out most others.
  const size_t capacity =
      size_t(goal_.k == 1 ? kPanelKeys : std::max<int64_t>(128, goal_.k + goal_.k / 2 + 64));
  sinks_.resize(size_t(key_parts_ * count));
  candidates_.reserve(sinks_.size());
  for (int64_t i = 0; i < key_parts_ * count; ++i) {
    candidates_.emplace_back(sinks_[size_t(i)], capacity);
    if (goal_.threshold) sinks_[size_t(i)].threshold = threshold_of(i % count);
  }
  parallel_(key_parts_ * query_parts, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    for (int64_t task = begin; task < end; ++task)
      scan_part(task % key_parts_, part(groups, task / key_parts_, query_parts));
  });
  parallel_(count, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch;
    for (int64_t i = begin; i < end; ++i) {
      Sink& sink = sinks_[size_t(i)];
      Candidates& merged = candidates_[size_t(i)];
      for (int64_t part = 1; part < key_parts_; ++part)
        merged.merge(sink, candidates_[size_t(part * count + i)], sinks_[size_t(part * count + i)]);
      if (!goal_.threshold && !merged.overflowed()) merged.tighten(sink, size_t(goal_.k), limit_, scratch);
    }
  });
  std::sort(unbounded_keys_.begin(), unbounded_keys_.end());
  unbounded_keys_.erase(std::unique(unbounded_keys_.begin(), unbounded_keys_.end()), unbounded_keys_.end());
}

// Below every upper end of a key whose rank value reaches the goal's threshold.
float Scan::threshold_of(int64_t i) const {
  return std::max(Candidates::kNoThreshold,
                  round_down(scales_[size_t(i)].t_below(*goal_.threshold) - bounds_[size_t(i)].extra));
}

Scan::Ceiling Scan::ceiling_of(int64_t i) const {
  const double ceiling = block_.ceiling(queries_[size_t(i)]);
  const ValueScale& scale = scales_[size_t(i)];
  return {scale.t_below(ceiling) - bounds_[size_t(i)].extra, scale.t_above(ceiling)};
}

// Packs all keys before the scan, so that threads may share the queries out.
void Scan::pack_keys_once() {
  own_panels_.reset(new char[size_t(num_panels_ * panel_bytes_)]);
  own_facts_.reset(new float[size_t(num_panels_ * kFactsPerPanel)]);
  std::atomic<int64_t> unbounded{0};
  parallel_(num_panels_, [&](int64_t begin, int64_t end) {
    const DefaultFloatEnvironment environment;
    KeyPacker packer(isa_, keys_.rows, keys_.metric, pass_, frame_.centre.data(), frame_.direction.data());
    for (int64_t p = begin; p < end; ++p)
      unbounded +=
          packer.pack(p, own_panels_.get() + p * panel_bytes_, own_facts_.get() + p * kFactsPerPanel);
  });
  panels_ = own_panels_.get();
  panel_facts_ = own_facts_.get();
  if (unbounded) list_all_unbounded();
}

void Scan::list_all_unbounded() {
  for (int64_t p = 0; p < num_panels_; ++p)
    list_unbounded(panel_facts_ + p * kFactsPerPanel, p * kPanelKeys, unbounded_keys_);
  while (!unbounded_keys_.empty() && unbounded_keys_.back() >= keys_.rows.rows) unbounded_keys_.pop_back();
}

// Groups of queries against one part of the keys: first a sample from all over it, so that thresholds start
// high and a hopeless pass ends early, then the rest.
void Scan::scan_part(int64_t key_part, Range groups) {
  if (in_place_) return scan_part_in_place(key_part, groups);
  const Range all = part(num_panels_, key_part, key_parts_);
  const int64_t count = all.end - all.begin;
  const int64_t block = std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(1, panel_bytes_), 1, 1024);
  PanelReader reader = panels_ ? PanelReader(panels_, panel_facts_, num_panels_, panel_bytes_)
                               : PanelReader(isa_, keys_, frame_, pass_, block);

  const int64_t at_most = std::max(count / 16, 2 * goal_.k / kPanelKeys);
  const int64_t wanted = std::min({std::max(kSampledKeys, 8 * goal_.k) / kPanelKeys, at_most, count / 2});
  const int64_t stride = goal_.threshold || wanted < kFewestSampledPanels ? 0 : count / wanted;
  bool worth_it = true;
  if (stride) {
    const int64_t samples = (count + stride - 1) / stride;
    const int64_t rank = goal_.speculate ? rank_in_sample(goal_.k, double(samples) / double(count)) : goal_.k;
    for (int64_t s = 0; s < samples; s += block)
      meet(reader, {all.begin + s * stride, std::min(block, samples - s), stride}, groups, key_part, rank);
    worth_it = tighten_all(reader.all(), rank, samples * kPanelKeys / 2, groups, key_part);
  }
  if (worth_it)
    for (int64_t first = all.begin; first < all.end; first += block)
      meet(reader, {first, std::min(block, all.end - first), 1, all.begin, stride}, groups, key_part,
           goal_.k);
  if (panels_) tighten_all(reader.all(), goal_.k, limit_, groups, key_part);

  // Every group of a part meets the same unbounded keys, unless it gave up: all report them.
  report_unbounded(reader.unbounded());
}

// Groups of queries against the rows of one part of the keys. Each row is read once, and its facts are at
// hand only then.
void Scan::scan_part_in_place(int64_t key_part, Range groups) {
  alignas(64) float dots[kRowTileQueries * kPanelKeys], squares[kPanelKeys], facts[kFactsPerPanel];
  RowReader reader(keys_.rows, kPanelKeys);
  const Range panels = part(num_panels_, key_part, key_parts_);
  const int64_t part_start = key_part * int64_t(queries_.size());
  std::vector<int64_t> unbounded;
  for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
    const uint32_t allowed = keys_.allowed_in(panel);
    if (!allowed) continue;
    const int64_t first_key = panel * kPanelKeys;
    const int size = int(std::min<int64_t>(kPanelKeys, keys_.rows.rows - first_key));
    const float* rows[kPanelKeys];
    for (int i = 0; i < kPanelKeys; ++i)  // past the end the last key stands in
      rows[i] = i < size ? reader.read(first_key + i, i) : rows[size - 1];
    const PanelView view{{panel, 1, 1}, nullptr, facts, 0, 0};
    for (int64_t g = groups.begin; g < groups.end; ++g) {
      const int64_t first = group_starts_[size_t(g)];
      const int count = int(group_starts_[size_t(g) + 1] - first);
      const float* queries[kRowTileQueries];
      for (int r = 0; r < count; ++r) queries[r] = block_.row(queries_[size_t(first + r)]);
      isa_.row_tile(queries, count, rows, keys_.rows.dim, dots, squares);
      if (g == groups.begin && in_place_facts(bound_, squares, size, facts))
        list_unbounded(facts, first_key, unbounded);
      Sink* sinks = sinks_.data() + part_start + first;
      isa_.filter_tile(false, dots, count, facts_.data() + first, KeyFacts(facts), allowed,
                       uint32_t(first_key), sinks);
      for (int r = 0; r < count; ++r) {
        if (candidates_[size_t(part_start + first + r)].full(sinks[r]))
          make_room(view, first + r, key_part, goal_.k);
        else
          settle(view, first + r, key_part);
      }
    }
  }
  if (groups.begin == 0) report_unbounded(unbounded);
}

void Scan::report_unbounded(const std::vector<int64_t>& keys) {
  if (keys.empty()) return;
  const std::lock_guard<std::mutex> lock(unbounded_mutex_);
  unbounded_keys_.insert(unbounded_keys_.end(), keys.begin(), keys.end());
}

// Groups of queries against some panels.
void Scan::meet(PanelReader& reader, const PanelRange& range, Range groups, int64_t key_part, int64_t k) {
  const PanelView view = reader.read(range);
  const PanelView& lookup = reader.stored() ? reader.all() : view;
  const int64_t part_start = key_part * int64_t(queries_.size());
  for (int64_t g = groups.begin; g < groups.end; ++g) {
    const int64_t first = group_starts_[size_t(g)];
    const int size = int(group_starts_[size_t(g) + 1] - first);
    Sink* sinks = sinks_.data() + part_start + first;
    for (int64_t i = 0; i < range.count; ++i) {
      const uint32_t allowed = keys_.allowed_in(range.number(i));
      if (range.skips(i) || !allowed) continue;
      scan_tile({view.panel(i), view.panel_facts(i), range.number(i), allowed}, first, size, sinks);
      for (int r = 0; r < size; ++r)
        if (candidates_[size_t(part_start + first + r)].full(sinks[r]))
          make_room(lookup, first + r, key_part, k);
    }
    // What the heads exclude depends on the threshold: keep it fresh.
    if (heads_first_ && !goal_.threshold)
      for (int r = 0; r < size; ++r)
        if (candidates_[size_t(part_start + first + r)].unsettled(sinks[r]) > 4 + k / 4)
          make_room(lookup, first + r, key_part, k);
    if (!reader.stored())  // the facts of these panels are about to be overwritten
      for (int r = 0; r < size; ++r) settle(lookup, first + r, key_part);
  }
}

// Some queries against one panel.
void Scan::scan_tile(const Tile& tile, int64_t first, int size, Sink* sinks) const {
  alignas(64) int32_t dots[kMaxTileQueries * kPanelKeys];
  const int32_t* queries = packed_queries_.data() + first * steps_;
  isa_.dot_tile(pass_, queries, size, starts_.data() + first, tile.panel, head_steps_, dots);
  if (heads_first_) {
    for (uint32_t reaching = heads_reaching(tile, dots, first, size, sinks); reaching;
         reaching &= reaching - 1)
      finish_dots(tile, dots, first, __builtin_ctz(reaching), sinks);
    return;
  }
  if (principal_) {
    alignas(64) int32_t tails[kMaxTileQueries * kPanelKeys];
    isa_.dot_tile(pass_, queries + head_steps_ * size, size, tail_starts_.data() + first, tail_panel(tile),
                  steps_ - head_steps_, tails);
    for (int i = 0; i < size * kPanelKeys; ++i) dots[i] += tails[i];
  }
  isa_.filter_tile(pass_ != FirstPass::float32, dots, size, facts_.data() + first, KeyFacts(tile.facts),
                   tile.allowed, uint32_t(tile.number * kPanelKeys), sinks);
}

const int32_t* Scan::tail_panel(const Tile& tile) const {
  return static_cast<const int32_t*>(principal_->tails) + tile.number * (steps_ - head_steps_) * kPanelKeys;
}

// The queries that some key of the panel may still reach by its head.
uint32_t Scan::heads_reaching(const Tile& tile, const int32_t* dots, int64_t first, int size,
                              const Sink* sinks) const {
  float uppers[kMaxTileQueries][2 * kPanelKeys];
  uint32_t places[kMaxTileQueries][2 * kPanelKeys];
  Sink heads[kMaxTileQueries];
  for (int r = 0; r < size; ++r) heads[r] = {sinks[r].threshold, 0, uppers[r], places[r]};
  KeyFacts facts(tile.facts);
  facts.residual = principal_->head_residuals + tile.number * kPanelKeys;
  isa_.filter_tile(true, dots, size, head_facts_.data() + first, facts, tile.allowed, 0, heads);
  uint32_t reaching = 0;
  for (int r = 0; r < size; ++r) reaching |= uint32_t(heads[r].count > 0) << r;
  return reaching;
}

// Adds the dimensions beyond the head for query r of a tile alone.
void Scan::finish_dots(const Tile& tile, const int32_t* dots, int64_t first, int r, Sink* sinks) const {
  alignas(64) int32_t all[kPanelKeys];
  const int64_t tail_steps = steps_ - head_steps_, i = first + r;
  isa_.dot_tile(pass_, query_tails_.data() + i * tail_steps, 1, &tail_starts_[size_t(i)], tail_panel(tile),
                tail_steps, all);
  for (int key = 0; key < kPanelKeys; ++key) all[key] += dots[r * kPanelKeys + key];
  isa_.filter_tile(true, all, 1, &facts_[size_t(i)], KeyFacts(tile.facts), tile.allowed,
                   uint32_t(tile.number * kPanelKeys), sinks + r);
}

void Scan::settle(const PanelView& view, int64_t i, int64_t key_part) {
  const int64_t at = key_part * int64_t(queries_.size()) + i, q = queries_[size_t(i)];
  const QueryBounds& query = bounds_[size_t(i)];
  const Ceiling ceiling = ceilings_[size_t(i)];
  const auto lower_end = [&](float upper, uint32_t place) {
    if (block_.excludes(q, place)) return std::numeric_limits<float>::quiet_NaN();
    const KeyFacts facts(view.facts_of(place));
    const uint32_t lane = place % kPanelKeys;
    const float lower =
        round_down(upper - 2 * bound_.half_width(query, facts.residual[lane], facts.norm[lane]));
    if (lower > ceiling.beyond) return std::numeric_limits<float>::quiet_NaN();
    // A key that may beat the ceiling may hold none of the k places: it must not raise the threshold.
    return upper < ceiling.within_reach ? lower : -std::numeric_limits<float>::infinity();
  };
  if (goal_.k == 1 && !goal_.threshold)
    candidates_[size_t(at)].raise_to_highest(sinks_[size_t(at)], lower_end);
  candidates_[size_t(at)].settle(sinks_[size_t(at)], lower_end);
}

void Scan::make_room(const PanelView& view, int64_t i, int64_t key_part, int64_t k) {
  const int64_t at = key_part * int64_t(queries_.size()) + i;
  thread_local std::vector<float> scratch;
  settle(view, i, key_part);
  Candidates& mine = candidates_[size_t(at)];
  Sink& sink = sinks_[size_t(at)];
  if (goal_.threshold && sink.count > limit_)
    mine.overflow(sink);
  else if (goal_.threshold)
    mine.grow(sink, 2 * size_t(sink.count) + kPanelKeys);
  else
    mine.tighten(sink, size_t(k), limit_, scratch);
}

// Tightens every query of the groups; false, and all of them overflowed, where most keep more than `limit`.
// A k below the goal's makes a guess of the threshold.
bool Scan::tighten_all(const PanelView& view, int64_t k, size_t limit, Range groups, int64_t key_part) {
  const int64_t begin = group_starts_[size_t(groups.begin)], end = group_starts_[size_t(groups.end)];
  const int64_t part_start = key_part * int64_t(queries_.size());
  std::vector<float> scratch;
  int64_t overflowed = 0;
  for (int64_t i = begin; i < end; ++i) {
    Candidates& mine = candidates_[size_t(part_start + i)];
    Sink& sink = sinks_[size_t(part_start + i)];
    if (panels_) settle(view, i, key_part);
    if (goal_.threshold) continue;
    mine.tighten(sink, size_t(k), std::min(limit, limit_), scratch);
    if (k < goal_.k) mine.speculate(sink);
    overflowed += mine.overflowed();
  }
  if (2 * overflowed <= end - begin) return true;
  for (int64_t i = begin; i < end; ++i)
    candidates_[size_t(part_start + i)].overflow(sinks_[size_t(part_start + i)]);
  return false;
}

}  // namespace fastret::cpu
