// The native module: importing it registers torch.ops.fastret.*
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/stable/library.h>

#include <string>
#include <vector>

#include "bindings/searchers.h"
#include "kernels/cpu/first_pass.h"
#include "kernels/isa.h"

namespace py = pybind11;

PYBIND11_MODULE(_C, m, py::mod_gil_not_used()) {
  m.doc() = "The native module. Importing it registers torch.ops.fastret.*";
  m.def("build_info", [] {
    py::dict info;
    info["compiler"] = "gcc-compatible " __VERSION__;
    info["torch_abi_target"] = std::to_string(TORCH_TARGET_VERSION >> 56) + "." +
                               std::to_string((TORCH_TARGET_VERSION >> 48) & 0xff);
    info["cuda_built"] = bool(FASTRET_WITH_CUDA);
    return info;
  });
  m.def(
      "get_isa", [] { return fastret::primitives().name; },
      "The instruction set in use, one of available_isas().");
  m.def(
      "set_isa",
      [](const std::string& name) {
        if (!fastret::use_isa(name.c_str()))
          throw py::value_error("set_isa: this machine cannot run '" + name + "'; see available_isas()");
      },
      py::arg("name"),
      "Use an instruction set from now on. Raises ValueError for one that this machine cannot run.");
  m.def(
      "available_isas",
      [] {
        std::vector<std::string> names;
        for (const char* const* name = fastret::available_isas(); *name; ++name) names.emplace_back(*name);
        return names;
      },
      "The instruction sets that this build and this machine can run, slowest first.");
  m.def(
      "cheapest_first_pass",
      [](int64_t num_queries, int64_t dim) {
        constexpr const char* kNames[] = {"float32", "int16", "int8"};
        return kNames[int(fastret::cpu::choose_pass(num_queries, dim).pass)];
      },
      py::arg("num_queries"), py::arg("dim"),
      "What a search of keys that are not packed begins with: int8, int16 or float32.");
  fastret::bindings::add_flat_searchers(m);
  fastret::bindings::add_graph_searcher(m);
  fastret::bindings::add_list_searcher(m);
  fastret::bindings::add_product_code_searcher(m);
}
