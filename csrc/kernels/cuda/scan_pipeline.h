// The Hopper scan's tiles, and its schedule: who waits for whom before a stage of shared memory is filled or
// read. The kernel runs these loops with TMA, wgmma and mbarriers (scan_hopper.cu), a test with a model of
// them.
#pragma once
#include "kernels/cuda/planes.h"
#include "kernels/cuda/wgmma_layout.h"

namespace fastret::cuda {

constexpr int kRingStages = 4;
constexpr int kConsumers = 2;  // warpgroups
constexpr int kConsumerWarps = 4 * kConsumers;
constexpr int kBlockRows = 64;      // of the products that a warpgroup computes at once
constexpr int kStageElements = 64;  // of each row: 128 bytes, the span of the swizzle
constexpr int kStageRowBytes = 2 * kStageElements;

struct TilePair {
  int query, key;  // within the tile
};

// A tile of `kQueries` and kKeyTile keys. Many queries are the rows of the products and keys their columns;
// up to 64 queries are the columns, so that few of them cost few operations.
template <int kQueries>
struct HopperTile {
  static constexpr bool keys_are_rows = kQueries <= 64;
  static constexpr int rows = keys_are_rows ? kKeyTile : kQueries;
  static constexpr int columns = keys_are_rows ? kQueries : kKeyTile;
  static constexpr int consumer_rows = rows / kConsumers;
  static constexpr int consumer_blocks = consumer_rows / kBlockRows;
  // A stage holds the queries, then the keys.
  static constexpr int query_bytes = kQueries * kStageRowBytes;
  static constexpr int key_bytes = kKeyTile * kStageRowBytes;
  static constexpr int stage_bytes = query_bytes + key_bytes;
  static_assert(consumer_blocks * kBlockRows * kConsumers == rows && columns % 8 == 0);

  // The shared addresses, in a stage that begins at `stage`, of the first of the rows that a consumer's
  // block multiplies, and of the rows that are the columns.
  static FASTRET_HOST_DEVICE uint32_t block_address(uint32_t stage, int consumer, int block) {
    const int row = consumer * consumer_rows + block * kBlockRows;
    return stage + uint32_t((keys_are_rows ? query_bytes : 0) + row * kStageRowBytes);
  }
  static FASTRET_HOST_DEVICE uint32_t columns_address(uint32_t stage) {
    return stage + uint32_t(keys_are_rows ? 0 : query_bytes);
  }

  // The pair whose product is sum i of block `block` of a consumer's thread.
  static FASTRET_HOST_DEVICE TilePair pair_of(int consumer, int thread, int block, int i) {
    const int row = consumer * consumer_rows + block * kBlockRows + fragment_row(thread, i);
    const int column = fragment_column(thread, i);
    return keys_are_rows ? TilePair{column, row} : TilePair{row, column};
  }
};

// The tiles of a launch in the order of visits, query tiles fastest: those that share a tile of keys run side
// by side and read it from L2. The CTAs of a cluster share the keys and take a query tile each; the last
// cluster may have none left for its second, whose queries then read as zeros and are skipped.
struct TileSchedule {
  int64_t query_groups;  // query tiles, as many per cluster as it has CTAs
  int64_t visits;
  int64_t clusters;

  FASTRET_HOST_DEVICE int64_t count(int64_t cluster) const {
    return (query_groups * visits - cluster + clusters - 1) / clusters;
  }
  FASTRET_HOST_DEVICE int64_t query_group(int64_t cluster, int64_t i) const {
    return (cluster + i * clusters) % query_groups;
  }
  FASTRET_HOST_DEVICE int64_t visit(int64_t cluster, int64_t i) const {
    return (cluster + i * clusters) / query_groups;
  }
};

// A stage is full when its CTA's producer has announced the bytes and all have come, those that the other CTA
// of the cluster sends included. It is empty when each consumer warp of every CTA has read it, since a
// producer's keys go to all of them.
constexpr int kFullArrivals = 1;
FASTRET_HOST_DEVICE int empty_arrivals(int cluster_ctas) {
  return kConsumerWarps * cluster_ctas;
}

// The stages, filled and read in turn. The parity is that of the phase to wait for.
struct Ring {
  int stage = 0;
  uint32_t parity = 0;

  FASTRET_HOST_DEVICE void advance() {
    if (++stage < kRingStages) return;
    stage = 0;
    parity ^= 1;
  }
};

// One thread of a CTA.
template <class Producer>
FASTRET_HOST_DEVICE void produce(Producer& producer, int64_t tiles, int64_t steps) {
  Ring ring;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    producer.begin(tile);
    for (int64_t step = 0; step < steps; ++step, ring.advance()) {
      // The other parity: the first time round nobody has arrived, but the phase before the first counts as
      // complete.
      producer.wait_empty(ring.stage, ring.parity ^ 1);
      producer.load(ring.stage, step);
    }
  }
}

// A warp of a warpgroup. One group of products is always under way: a stage is released when those of the
// next one have been queued behind its own.
template <class Consumer>
FASTRET_HOST_DEVICE void consume(Consumer& consumer, int64_t tiles, int64_t steps) {
  Ring ring;
  // Consumer 1 begins a stage behind, and stays there: one multiplies while the other looks at its products.
  if (consumer.number == 1 && tiles > 0) consumer.wait_for_start();
  for (int64_t tile = 0; tile < tiles; ++tile) {
    int previous = 0;
    for (int64_t step = 0; step < steps; ++step, ring.advance()) {
      consumer.wait_full(ring.stage, ring.parity);
      consumer.multiply(ring.stage, step);
      if (step == 0) {
        if (consumer.number == 0 && tile == 0) consumer.start_other();
        consumer.prepare(tile);  // while the products are computed
      } else {
        consumer.template wait_products<1>();
        consumer.release(previous);
      }
      previous = ring.stage;
    }
    consumer.template wait_products<0>();
    consumer.release(previous);
    consumer.finish();
  }
}

}  // namespace fastret::cuda
