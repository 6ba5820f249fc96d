// The first pass of some queries over all keys: what it keeps are the only keys that can still be neighbours.
#pragma once
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/first_pass.h"
#include "kernels/cpu/panel_reader.h"
#include "kernels/cpu/value_scale.h"

namespace fastret::cpu {

// What a scan looks for: the k best keys, or all that may reach a threshold.
struct Goal {
  int64_t k = 0;
  std::optional<float> threshold;  // a rank value; none: the k best
  // Start from a threshold that is right almost always; failed() tells where it was not.
  bool speculate = false;
};

class Scan {
 public:
  // `queries`: numbers within the block. The pass must be that of the packed keys where the scan shall use
  // them.
  Scan(const KeySet& keys, const QueryBlock& block, std::vector<int64_t> queries, PassChoice choice,
       Goal goal, const Parallel& parallel);

  void run();

  const std::vector<int64_t>& queries() const { return queries_; }
  FirstPass pass() const { return pass_; }
  // Of queries()[i]:
  const Sink& kept(int64_t i) const { return sinks_[size_t(i)]; }
  bool overflowed(int64_t i) const { return candidates_[size_t(i)].overflowed(); }
  bool failed(int64_t i) const { return candidates_[size_t(i)].speculative(); }
  const QueryBounds& bounds(int64_t i) const { return bounds_[size_t(i)]; }
  const ValueScale& value_scale(int64_t i) const { return scales_[size_t(i)]; }
  // Whether a key of this upper end may score above the query's ceiling.
  bool may_beat_ceiling(int64_t i, float upper) const { return upper >= ceilings_[size_t(i)].within_reach; }
  // Keys that no panel holds and that have to be scored for every query.
  const std::vector<int64_t>& unbounded_keys() const { return unbounded_keys_; }
  // So many that all queries had better be scored canonically.
  bool too_many_unbounded() const {
    return int64_t(unbounded_keys_.size()) > std::max<int64_t>(4096, keys_.rows.rows / 8);
  }

 private:
  struct CentredQuery {
    double norm, projected_norm;
    float component;
  };
  // Where the keys end whose scores may be the query's ceiling: an upper end below the one is below it for
  // certain, a lower end beyond the other is above it.
  struct Ceiling {
    double within_reach = std::numeric_limits<double>::infinity();
    double beyond = std::numeric_limits<double>::infinity();
  };
  // A panel, its number, and which of its keys are allowed.
  struct Tile {
    const char* panel;
    const float* facts;
    int64_t number;
    uint32_t allowed;
  };

  void pack_queries();
  void pack_group(int64_t group);
  CentredQuery centre_query(int64_t i, float* row) const;
  void finish_query(int64_t i, const CentredQuery& query, float* row, void* target);
  void scan_tile(const Tile& tile, int64_t first, int size, Sink* sinks) const;
  const int32_t* tail_panel(const Tile& tile) const;
  uint32_t heads_reaching(const Tile& tile, const int32_t* dots, int64_t first, int size,
                          const Sink* sinks) const;
  void finish_dots(const Tile& tile, const int32_t* dots, int64_t first, int r, Sink* sinks) const;
  float threshold_of(int64_t i) const;
  Ceiling ceiling_of(int64_t i) const;
  void pack_keys_once();
  void list_all_unbounded();
  void report_unbounded(const std::vector<int64_t>& keys);
  void scan_part(int64_t key_part, Range groups);
  void scan_part_in_place(int64_t key_part, Range groups);
  void meet(PanelReader& reader, const PanelRange& range, Range groups, int64_t key_part, int64_t k);
  void settle(const PanelView& view, int64_t i, int64_t key_part);
  void make_room(const PanelView& view, int64_t i, int64_t key_part, int64_t k);
  bool tighten_all(const PanelView& view, int64_t k, size_t limit, Range groups, int64_t key_part);

  const KeySet& keys_;
  const QueryBlock& block_;
  std::vector<int64_t> queries_;
  FirstPass pass_;
  bool in_place_;
  Goal goal_;
  const Parallel& parallel_;
  const Primitives& isa_;
  const PrincipalAxes* principal_;
  bool heads_first_;
  int64_t steps_, head_steps_;  // of all dimensions, and of those in the panels
  int64_t panel_bytes_, num_panels_;
  size_t limit_;  // of candidates
  Frame frame_;
  std::vector<float> query_shift_;  // [D]: the centre for l2, else 0
  ErrorBound bound_;

  std::vector<QueryBounds> bounds_;
  std::vector<ValueScale> scales_;
  std::vector<Ceiling> ceilings_;
  std::vector<QueryFacts> facts_, head_facts_;  // head_facts_: with principal axes
  std::vector<int32_t> starts_, tail_starts_;
  std::vector<int32_t> query_tails_;     // [queries, steps beyond the head]
  std::vector<int32_t> packed_queries_;  // groups of [steps, group]
  std::vector<int64_t> group_starts_;

  std::unique_ptr<char[]> own_panels_;  // of a scan that packs all keys once
  std::unique_ptr<float[]> own_facts_;
  const char* panels_ = nullptr;  // of all keys, or nullptr: packed while they are scanned
  const float* panel_facts_ = nullptr;

  int64_t key_parts_ = 1;
  std::vector<Sink> sinks_;              // [key_parts, queries]
  std::vector<Candidates> candidates_;   // [key_parts, queries]
  std::vector<int64_t> unbounded_keys_;  // ascending
  std::mutex unbounded_mutex_;
};

}  // namespace fastret::cpu
