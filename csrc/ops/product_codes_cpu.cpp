#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "kernels/cpu/kernels.h"
#include "ops/check.h"
#include "ops/parallel.h"
#include "ops/tensor_of.h"

namespace fastret::ops {
namespace {

using OptionalTensor = std::optional<Tensor>;

void check_tensor(const char* op, const char* name, const Tensor& tensor, ScalarType type, int64_t axes) {
  STD_TORCH_CHECK(tensor.dim() == axes && tensor.scalar_type() == type && tensor.is_contiguous(), op, ": ",
                  name, " must be contiguous, of ", axes, " axes and of scalar type ", int(type), ", got ",
                  shape_of(tensor), " of scalar type ", int(tensor.scalar_type()));
}

void check_nbits(const char* op, int64_t nbits) {
  STD_TORCH_CHECK(nbits >= 1 && nbits <= 16, op, ": nbits must be 1 to 16, got ", nbits);
}

template <class T>
const T* data_of(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <class T>
const T* data_of(const char* op, const char* name, const OptionalTensor& tensor, ScalarType type,
                 int64_t rows, int64_t axes = 1) {
  if (!tensor) return nullptr;
  check_tensor(op, name, *tensor, type, axes);
  STD_TORCH_CHECK(tensor->size(0) == rows, op, ": ", name, " must have ", rows, " rows, got ",
                  shape_of(*tensor));
  return data_of<T>(*tensor);
}

// centroids [M, K, D / M] for rows of M * D / M dimensions.
int64_t check_centroids(const char* op, const Tensor& centroids, int64_t nbits) {
  check_nbits(op, nbits);
  check_tensor(op, "centroids", centroids, ScalarType::Float, 3);
  STD_TORCH_CHECK(centroids.size(1) == int64_t(1) << nbits, op, ": centroids must be [M, ", 1 << nbits,
                  ", D / M], got ", shape_of(centroids));
  return centroids.size(0);
}

void check_rows(const char* op, const Tensor& rows, const Tensor& centroids) {
  check_tensor(op, "rows", rows, ScalarType::Float, 2);
  STD_TORCH_CHECK(rows.size(1) == centroids.size(0) * centroids.size(2), op, ": rows must be [N, ",
                  centroids.size(0) * centroids.size(2), "], got ", shape_of(rows));
}

// The arguments that searches share.
struct Arguments {
  ProductQueries queries;
  CodeLists lists;

  Arguments(const char* op, const Tensor& tables, const Tensor& codes, const OptionalTensor& ids,
            const Tensor& starts, const Tensor& sizes, const Tensor& probes, int64_t nbits, bool largest,
            const OptionalTensor& base, const OptionalTensor& offsets, const OptionalTensor& allowed,
            int64_t max_rows) {
    check_nbits(op, nbits);
    STD_TORCH_CHECK(tables.dim() == 3 && tables.scalar_type() == ScalarType::Float &&
                        tables.size(2) == int64_t(1) << nbits && tables.stride(2) == 1,
                    op, ": tables must be [Q, M, ", 1 << nbits, "] float32, got ", shape_of(tables));
    check_tensor(op, "codes", codes, ScalarType::Byte, 2);
    const int64_t capacity = codes.size(0), num_codes = tables.size(1), count = tables.size(0);
    STD_TORCH_CHECK(codes.size(1) == product_code_size(num_codes, int(nbits)), op,
                    ": codes must be [capacity, ", product_code_size(num_codes, int(nbits)), "], got ",
                    shape_of(codes));
    check_tensor(op, "starts", starts, ScalarType::Long, 1);
    check_tensor(op, "sizes", sizes, ScalarType::Long, 1);
    check_tensor(op, "probes", probes, ScalarType::Long, 2);
    STD_TORCH_CHECK(starts.size(0) == sizes.size(0) && probes.size(0) == count, op,
                    ": there must be a start for each size and probes for each query, got ", shape_of(starts),
                    " and ", shape_of(probes));
    STD_TORCH_CHECK(!base || (base->dim() == 2 && base->size(1) == probes.size(1)), op,
                    ": base must have the shape of probes");
    STD_TORCH_CHECK(max_rows >= 0, op, ": max_rows must not be negative, got ", max_rows);
    queries = {data_of<float>(tables),
               tables.stride(0),
               tables.stride(1),
               count,
               data_of<int64_t>(probes),
               probes.size(1),
               data_of<float>(op, "base", base, ScalarType::Float, count, 2),
               max_rows,
               largest};
    lists = {{data_of<uint8_t>(codes), codes.size(1), num_codes, int(nbits)},
             data_of<int64_t>(op, "ids", ids, ScalarType::Long, capacity),
             data_of<int64_t>(starts),
             data_of<int64_t>(sizes),
             data_of<float>(op, "offsets", offsets, ScalarType::Float, capacity),
             data_of<bool>(op, "allowed", allowed, ScalarType::Bool, capacity)};
    for (int64_t i = 0; i < probes.numel(); ++i) {
      const int64_t list = queries.probes[i];
      STD_TORCH_CHECK(list < sizes.size(0), op, ": probes must name lists below ", sizes.size(0), ", got ",
                      list);
      if (list < 0) continue;
      check_list(op, list, lists.starts[list], lists.sizes[list], capacity);
      rows += lists.sizes[list];
    }
  }

  // Up to 64 lookups are one instruction.
  int64_t steps() const { return rows * lists.codes.num_codes / 64; }

 private:
  int64_t rows = 0;  // visited
};

}  // namespace

std::tuple<Tensor, Tensor> search_product_codes_cpu(const Tensor& tables, const Tensor& codes,
                                                    const OptionalTensor& ids, const Tensor& starts,
                                                    const Tensor& sizes, const Tensor& probes, int64_t nbits,
                                                    int64_t k, bool largest, const OptionalTensor& base,
                                                    const OptionalTensor& offsets,
                                                    const OptionalTensor& allowed, int64_t max_rows) {
  const char* op = "search_product_codes";
  check_k(op, k);
  const Arguments a(op, tables, codes, ids, starts, sizes, probes, nbits, largest, base, offsets, allowed,
                    max_rows);
  Tensor scores = torch::stable::new_empty(tables, {tables.size(0), k}, ScalarType::Float);
  Tensor positions = torch::stable::new_empty(tables, {tables.size(0), k}, ScalarType::Long);
  cpu::product_search(
      {a.queries, a.lists, k, scores.mutable_data_ptr<float>(), positions.mutable_data_ptr<int64_t>()},
      TorchThreads(a.steps()));
  return {scores, positions};
}

std::tuple<Tensor, Tensor, Tensor> range_search_product_codes_cpu(
    const Tensor& tables, const Tensor& codes, const OptionalTensor& ids, const Tensor& starts,
    const Tensor& sizes, const Tensor& probes, int64_t nbits, double threshold, bool largest,
    const OptionalTensor& base, const OptionalTensor& offsets, const OptionalTensor& allowed,
    int64_t max_rows) {
  const Arguments a("range_search_product_codes", tables, codes, ids, starts, sizes, probes, nbits, largest,
                    base, offsets, allowed, max_rows);
  const cpu::RangeFound found =
      cpu::product_range_search({a.queries, a.lists, float(threshold)}, TorchThreads(a.steps()));
  return {tensor_of(found.lims, tables), tensor_of(found.scores, tables), tensor_of(found.ids, tables)};
}

Tensor product_tables_cpu(const Tensor& rows, const Tensor& centroids, int64_t nbits, bool squared_l2) {
  const char* op = "product_tables";
  const int64_t num_codes = check_centroids(op, centroids, nbits);
  check_rows(op, rows, centroids);
  Tensor tables =
      torch::stable::new_empty(rows, {rows.size(0), num_codes, centroids.size(1)}, ScalarType::Float);
  cpu::product_tables({data_of<float>(rows), data_of<float>(centroids), rows.size(0), num_codes, int(nbits),
                       centroids.size(2), squared_l2, tables.mutable_data_ptr<float>()},
                      TorchThreads(rows.numel() * centroids.size(1)));
  return tables;
}

Tensor encode_product_codes_cpu(const Tensor& rows, const Tensor& centroids, int64_t nbits) {
  const char* op = "encode_product_codes";
  const int64_t num_codes = check_centroids(op, centroids, nbits);
  check_rows(op, rows, centroids);
  Tensor codes = torch::stable::new_empty(rows, {rows.size(0), product_code_size(num_codes, int(nbits))},
                                          ScalarType::Byte);
  cpu::product_encode({data_of<float>(rows), data_of<float>(centroids), rows.size(0), num_codes, int(nbits),
                       centroids.size(2), static_cast<uint8_t*>(codes.mutable_data_ptr())},
                      TorchThreads(rows.numel() * centroids.size(1)));
  return codes;
}

Tensor decode_product_codes_cpu(const Tensor& codes, const Tensor& centroids, int64_t nbits) {
  const char* op = "decode_product_codes";
  const int64_t num_codes = check_centroids(op, centroids, nbits);
  check_tensor(op, "codes", codes, ScalarType::Byte, 2);
  const int64_t code_size = product_code_size(num_codes, int(nbits)), dim = num_codes * centroids.size(2);
  STD_TORCH_CHECK(codes.size(1) == code_size, op, ": codes must be [N, ", code_size, "], got ",
                  shape_of(codes));
  Tensor rows = torch::stable::new_empty(codes, {codes.size(0), dim}, ScalarType::Float);
  cpu::product_decode({{data_of<uint8_t>(codes), code_size, num_codes, int(nbits)},
                       data_of<float>(centroids),
                       codes.size(0),
                       centroids.size(2),
                       rows.mutable_data_ptr<float>()},
                      TorchThreads(rows.numel()));
  return rows;
}

STABLE_TORCH_LIBRARY_IMPL(fastret, CPU, m) {
  m.impl("search_product_codes", TORCH_BOX(&search_product_codes_cpu));
  m.impl("range_search_product_codes", TORCH_BOX(&range_search_product_codes_cpu));
  m.impl("product_tables", TORCH_BOX(&product_tables_cpu));
  m.impl("encode_product_codes", TORCH_BOX(&encode_product_codes_cpu));
  m.impl("decode_product_codes", TORCH_BOX(&decode_product_codes_cpu));
}

}  // namespace fastret::ops
