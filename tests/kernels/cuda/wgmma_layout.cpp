// The arithmetic of the Hopper scan's shared memory and registers, against a simulation of the hardware.
#include "kernels/cuda/wgmma_layout.h"

#include <random>
#include <vector>

#include "expectations.h"
#include "hopper_memory.h"
#include "kernels/cuda/scan_pipeline.h"

using namespace fastret;
using namespace fastret::cuda;

namespace {

constexpr int kWarpgroup = 128;

// The picture of the PTX ISA for the sums of wgmma.m64nNk16.
void fragments() {
  expect(fragment_row(0, 0) == 0 && fragment_column(0, 0) == 0, "T0 d0 is (0, 0)");
  expect(fragment_row(0, 1) == 0 && fragment_column(0, 1) == 1, "T0 d1 is (0, 1)");
  expect(fragment_row(0, 2) == 8 && fragment_column(0, 2) == 0, "T0 d2 is (8, 0)");
  expect(fragment_row(0, 4) == 0 && fragment_column(0, 4) == 8, "T0 d4 is (0, 8)");
  expect(fragment_row(5, 0) == 1 && fragment_column(5, 0) == 2, "T5 d0 is (1, 2)");
  expect(fragment_row(32, 0) == 16 && fragment_column(32, 0) == 0, "T32 d0 is (16, 0)");
  expect(fragment_row(127, 3) == 63 && fragment_column(127, 3) == 7, "T127 d3 is (63, 7)");
  expect(fragment_row(127, 127) == 63 && fragment_column(127, 127) == 255, "T127 d127 is (63, 255)");
  for (int columns : {8, 16, 32, 64, 256}) {
    std::vector<int> times(size_t(64 * columns));
    for (int thread = 0; thread < kWarpgroup; ++thread)
      for (int i = 0; i < columns / 2; ++i)
        ++times.at(size_t(fragment_row(thread, i) * columns + fragment_column(thread, i)));
    for (int count : times)
      expect(count == 1, "each of 64 x " + std::to_string(columns) + " sums is held once");
  }
}

void descriptors() {
  const uint64_t descriptor = matrix_descriptor(0x2400);
  expect((descriptor & 0x3fff) == 0x240, "bits 0-13 are the address in units of 16 bytes");
  expect((descriptor >> 32 & 0x3fff) == 64, "bits 32-45 are the distance of groups of 8 rows, 1024 bytes");
  expect(descriptor >> 62 == 1, "bits 62-63 are the swizzle of 128 bytes");
  expect((descriptor &
          ~(uint64_t(0x3fff) | uint64_t(0x3fff) << 16 | uint64_t(0x3fff) << 32 | uint64_t(3) << 62)) == 0,
         "all other bits are 0");
  expect((matrix_descriptor(227 * 1024 - 1024) & 0x3fff) == 226 * 64, "addresses up to 227 KiB fit");
  expect(descriptor_at(descriptor, 3) - descriptor == 6, "16 elements are 2 units of 16 bytes");
}

std::vector<uint16_t> small_integers(int64_t count, std::mt19937& random) {
  std::vector<uint16_t> elements(static_cast<size_t>(count));
  for (uint16_t& element : elements) element = high_of(bits_of_float(float(int(random() % 9)) - 4));
  return elements;
}

// A whole tile as the kernel computes it: boxes of both planes go to a stage, those of the keys in as many
// parts as a cluster has CTAs, and each thread finds in its registers the products of pair_of.
template <int kQueries>
void tile_products(int cluster_ctas, int64_t dim) {
  using Tile = HopperTile<kQueries>;
  std::mt19937 random(17);
  const int num_queries = kQueries - 3, num_keys = kKeyTile - 5;  // the last rows are not there: zeros
  const std::vector<uint16_t> queries = small_integers(num_queries * dim, random);
  const std::vector<uint16_t> keys = small_integers(num_keys * dim, random);
  std::vector<unsigned char> memory(227 << 10, 0xff);
  const uint32_t stage = 3 * 1024 + Tile::stage_bytes;

  constexpr int block_sums = Tile::columns / 2;
  std::vector<float> sums(size_t(kConsumers * kWarpgroup * Tile::consumer_blocks * block_sums), NAN);
  const auto sums_of = [&](int consumer, int thread, int block) {
    return &sums[size_t(((consumer * kWarpgroup + thread) * Tile::consumer_blocks + block) * block_sums)];
  };
  for (int64_t step = 0; step < dim / kStageElements; ++step) {
    hopper::write_box(memory.data(), stage, {queries.data(), num_queries, dim}, 0, step * kStageElements,
                      kQueries);
    for (int rank = 0; rank < cluster_ctas; ++rank) {
      const int rows = kKeyTile / cluster_ctas, share = rows * rank;
      hopper::write_box(memory.data(), stage + uint32_t(Tile::query_bytes + share * kStageRowBytes),
                        {keys.data(), num_keys, dim}, share, step * kStageElements, rows);
    }
    for (int consumer = 0; consumer < kConsumers; ++consumer) {
      for (int block = 0; block < Tile::consumer_blocks; ++block) {
        std::vector<float> products(size_t(kBlockRows * Tile::columns));
        const uint64_t rows = matrix_descriptor(Tile::block_address(stage, consumer, block));
        const uint64_t columns = matrix_descriptor(Tile::columns_address(stage));
        for (int k = 0; k < kStageElements / kWgmmaDepth; ++k)
          hopper::multiply_operands(
              memory.data(), descriptor_at(rows, k), descriptor_at(columns, k), Tile::columns, k > 0,
              [&](int row, int column) -> float& { return products[size_t(row * Tile::columns + column)]; });
        for (int thread = 0; thread < kWarpgroup; ++thread) {
          for (int i = 0; i < block_sums; ++i) {
            float& sum = sums_of(consumer, thread, block)[i];
            sum = (step > 0 ? sum : 0) +
                  products[size_t(fragment_row(thread, i) * Tile::columns + fragment_column(thread, i))];
          }
        }
      }
    }
  }

  std::vector<int> times(size_t(kQueries * kKeyTile));
  for (int consumer = 0; consumer < kConsumers; ++consumer) {
    for (int thread = 0; thread < kWarpgroup; ++thread) {
      for (int block = 0; block < Tile::consumer_blocks; ++block) {
        for (int i = 0; i < block_sums; ++i) {
          const TilePair pair = Tile::pair_of(consumer, thread, block, i);
          ++times.at(size_t(pair.query * kKeyTile + pair.key));
          float expected = 0;
          if (pair.query < num_queries && pair.key < num_keys)
            for (int64_t d = 0; d < dim; ++d)
              expected += widen_bf16(queries[size_t(pair.query * dim + d)]) *
                          widen_bf16(keys[size_t(pair.key * dim + d)]);
          const float found = sums_of(consumer, thread, block)[i];
          expect(found == expected, std::to_string(kQueries) + " queries: pair (" +
                                        std::to_string(pair.query) + ", " + std::to_string(pair.key) +
                                        ") is " + std::to_string(found) + ", expected " +
                                        std::to_string(expected));
        }
      }
    }
  }
  for (int count : times) expect(count == 1, "each pair is computed once");
}

void tiles() {
  tile_products<8>(1, 128);
  tile_products<16>(1, 64);
  tile_products<32>(1, 64);
  tile_products<64>(1, 64);
  tile_products<128>(1, 64);
  tile_products<128>(2, 128);
}

// Every tile of every query group is visited once, and CTAs of a cluster agree on its keys.
void schedule() {
  for (const TileSchedule s : {TileSchedule{1, 1, 1}, {3, 7, 4}, {1, 5, 5}, {4, 3, 66}, {40, 9, 66}}) {
    std::vector<int> times(size_t(s.query_groups * s.visits));
    for (int64_t cluster = 0; cluster < s.clusters; ++cluster)
      for (int64_t i = 0; i < s.count(cluster); ++i)
        ++times.at(size_t(s.visit(cluster, i) * s.query_groups + s.query_group(cluster, i)));
    for (int count : times) expect(count == 1, "each tile is visited once");
  }
}

}  // namespace

int main() {
  fragments();
  descriptors();
  tiles();
  schedule();
  return failures != 0;
}
