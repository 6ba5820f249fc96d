// The schedule of the Hopper scan (scan_pipeline.h) on a model of mbarriers, TMA and wgmma, in random
// interleavings. Found: waits that never end, stages that are overwritten while they are read or before,
// stages that are read before they have come, and arrivals at a CTA that is gone.
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "hopper_memory.h"
#include "kernels/cuda/scan_pipeline.h"

using namespace fastret::cuda;
using hopper::Barrier;
using hopper::fail;

namespace {

// Fibres that are chosen at random whenever one gives way.
class Fibres {
 public:
  explicit Fibres(unsigned seed) : random(seed) {}

  void add(std::function<void()> body) {
    auto fibre = std::make_unique<Fibre>();
    fibre->body = std::move(body);
    // Some are much slower than others.
    fibre->weight = 1u << random() % 6;
    fibres_.push_back(std::move(fibre));
  }

  // Runs all to their ends. `elsewhere` does a bit of what happens without them; false if there is none.
  void run(const std::function<bool()>& elsewhere) {
    for (auto& fibre : fibres_) {
      getcontext(&fibre->context);
      fibre->context.uc_stack.ss_sp = fibre->stack.data();
      fibre->context.uc_stack.ss_size = fibre->stack.size();
      fibre->context.uc_link = &scheduler_;
      makecontext(&fibre->context, begin, 0);
    }
    for (;;) {
      std::vector<Fibre*> ready;
      bool all_done = true;
      for (auto& fibre : fibres_) {
        all_done &= fibre->done;
        if (!fibre->done && (!fibre->condition || fibre->condition()))
          for (unsigned i = 0; i < fibre->weight; ++i) ready.push_back(fibre.get());
      }
      if (all_done) return;
      if ((ready.empty() || random() % 8 == 0) && elsewhere()) continue;
      if (ready.empty()) fail("deadlock");
      current_ = ready[random() % ready.size()];
      current_->condition = nullptr;
      swapcontext(&scheduler_, &current_->context);
    }
  }

  void wait_until(std::function<bool()> condition) {
    current_->condition = std::move(condition);
    swapcontext(&current_->context, &scheduler_);
  }

  std::mt19937 random;

 private:
  struct Fibre {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(32 << 10);
    std::function<void()> body;
    std::function<bool()> condition;
    unsigned weight = 1;
    bool done = false;
  };

  static void begin();

  std::vector<std::unique_ptr<Fibre>> fibres_;
  Fibre* current_ = nullptr;
  ucontext_t scheduler_;
};

Fibres* running = nullptr;

void Fibres::begin() {
  running->current_->body();
  running->current_->done = true;
}

constexpr int kQueries = 128;
using Tile = HopperTile<kQueries>;
constexpr int kMostCtas = 2,
              kParts = 1 + kMostCtas;  // of a stage: the queries and each CTA's share of the keys

struct Stage {
  Barrier full, empty;
  int64_t parts[kParts];  // the load that is there; -1 while it comes
  int readers = 0;        // products under way
};

struct Cta {
  Stage stages[kRingStages];
  bool gone = false;
};

struct Copy {
  int cta, stage, part;
  int64_t load, bytes;
};

struct Cluster {
  int ctas;
  int64_t tiles, steps;
  Fibres fibres;
  Cta members[kMostCtas];
  std::vector<Copy> copies;
  int departed = 0;

  Cluster(int ctas, int64_t tiles, int64_t steps, unsigned seed)
      : ctas(ctas), tiles(tiles), steps(steps), fibres(seed) {
    for (Cta& cta : members) {
      for (Stage& stage : cta.stages) {
        stage.full.init(kFullArrivals);
        stage.empty.init(empty_arrivals(ctas));
        for (int64_t& part : stage.parts) part = -1;
      }
    }
  }

  int parts() const { return 1 + ctas; }
  int threads() const { return ctas * (1 + kConsumerWarps); }

  void give_way() {
    fibres.wait_until([] { return true; });
  }

  void begin_copy(const Copy& copy) {
    Cta& cta = members[copy.cta];
    if (cta.gone) fail("a copy to a CTA that is gone");
    if (cta.stages[copy.stage].readers > 0) fail("a stage is overwritten while products read it");
    cta.stages[copy.stage].parts[copy.part] = -1;
    copies.push_back(copy);
  }

  bool end_a_copy() {
    if (copies.empty()) return false;
    const size_t which = fibres.random() % copies.size();
    const Copy copy = copies[which];
    copies.erase(copies.begin() + int64_t(which));
    Stage& stage = members[copy.cta].stages[copy.stage];
    stage.parts[copy.part] = copy.load;
    stage.full.come(copy.bytes);
    return true;
  }

  // What ends the kernel.
  void sync() {
    ++departed;
    fibres.wait_until([this] { return departed == threads(); });
  }

  void run();
};

struct Producer {
  Cluster& cluster;
  int rank;
  int64_t tile = 0;

  void begin(int64_t next) { tile = next; }
  void wait_empty(int stage, uint32_t parity) {
    const Barrier& empty = cluster.members[rank].stages[stage].empty;
    cluster.fibres.wait_until([&empty, parity] { return empty.is_complete(parity); });
  }
  void load(int stage, int64_t step) {
    const int64_t load = tile * cluster.steps + step;
    cluster.members[rank].stages[stage].full.expect(Tile::stage_bytes);
    cluster.give_way();
    cluster.begin_copy({rank, stage, 0, load, Tile::query_bytes});
    cluster.give_way();
    for (int cta = 0; cta < cluster.ctas; ++cta)
      cluster.begin_copy({cta, stage, 1 + rank, load, Tile::key_bytes / cluster.ctas});
  }
};

struct Consumer {
  Cluster& cluster;
  int rank, number;
  int& started;  // warps of this CTA's consumer 0
  int64_t tile = 0, load = 0;
  std::deque<int> groups = {};  // the stages that products under way read, oldest first

  Stage& stage_at(int stage) { return cluster.members[rank].stages[stage]; }
  void start_other() { ++started; }
  void wait_for_start() {
    cluster.fibres.wait_until([this] { return started == kConsumerWarps / kConsumers; });
  }
  void wait_full(int stage, uint32_t parity) {
    const Barrier& full = stage_at(stage).full;
    cluster.fibres.wait_until([&full, parity] { return full.is_complete(parity); });
  }
  void multiply(int stage, int64_t step) {
    if (step != load % cluster.steps) fail("steps come out of order");
    check(stage, load++);
    ++stage_at(stage).readers;
    groups.push_back(stage);
    cluster.give_way();
  }
  template <int kGroups>
  void wait_products() {
    cluster.give_way();
    while (int(groups.size()) > kGroups) {
      check(groups.front(), load - int64_t(groups.size()));
      --stage_at(groups.front()).readers;
      groups.pop_front();
    }
  }
  void release(int stage) {
    for (int cta = 0; cta < cluster.ctas; ++cta) {
      if (cluster.members[cta].gone) fail("an arrival at a CTA that is gone");
      cluster.members[cta].stages[stage].empty.arrive();
      cluster.give_way();
    }
  }
  void prepare(int64_t next) {
    if (next != tile) fail("tiles come out of order");
    cluster.give_way();
  }
  void finish() {
    ++tile;
    if (!groups.empty()) fail("sums are read while products are under way");
    cluster.give_way();
  }

 private:
  void check(int stage, int64_t expected) {
    for (int part = 0; part < cluster.parts(); ++part)
      if (stage_at(stage).parts[part] != expected) fail("a stage holds another load than its reader expects");
  }
};

void Cluster::run() {
  int started[kMostCtas] = {}, left[kMostCtas] = {};
  const auto add = [&](int rank, std::function<void()> role) {
    fibres.add([this, rank, role = std::move(role), &left] {
      role();
      sync();
      members[rank].gone = ++left[rank] == 1 + kConsumerWarps;
    });
  };
  for (int rank = 0; rank < ctas; ++rank) {
    add(rank, [this, rank] {
      Producer producer = {*this, rank};
      produce(producer, tiles, steps);
    });
    for (int warp = 0; warp < kConsumerWarps; ++warp) {
      add(rank, [this, rank, warp, &started] {
        Consumer consumer = {*this, rank, warp / 4, started[rank]};
        consume(consumer, tiles, steps);
        if (consumer.load != tiles * steps || consumer.tile != tiles) fail("a consumer has missed a stage");
      });
    }
  }
  running = &fibres;
  fibres.run([this] { return end_a_copy(); });
  for (const Cta& cta : members)
    for (const Stage& stage : cta.stages)
      if (stage.readers > 0 || stage.full.bytes != 0) fail("something is left under way");
}

}  // namespace

int main() {
  unsigned seed = 0;
  for (int ctas : {1, 2})
    for (int64_t tiles : {0, 1, 2, 5})
      for (int64_t steps : {1, 2, 3, 4, 7})
        for (int repeat = 0; repeat < 10; ++repeat) Cluster(ctas, tiles, steps, ++seed).run();
  return 0;
}
