// The CUDA library: importing it, after fastret._C, adds the CUDA implementations to torch.ops.fastret.*
#include <cuda_runtime_api.h>
#include <pybind11/pybind11.h>

#include <string>

#include "kernels/cuda/scan_choice.h"

namespace py = pybind11;

PYBIND11_MODULE(_C_cuda, m, py::mod_gil_not_used()) {
  m.doc() = "The CUDA library. Importing it adds the CUDA implementations of torch.ops.fastret.*";
  m.attr("cuda_version") =
      std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
  m.def(
      "get_search_kernel", [] { return fastret::cuda::name_of(fastret::cuda::search_kernel()); },
      "The kernel that searches scan keys with: portable, hopper or auto.");
  m.def(
      "set_search_kernel",
      [](const std::string& name) {
        const auto kernel = fastret::cuda::search_kernel_named(name);
        if (!kernel)
          throw py::value_error("set_search_kernel: name must be 'portable', 'hopper' or 'auto', got '" +
                                name + "'");
        if (!fastret::cuda::runs_here(*kernel))
          throw py::value_error(
              "set_search_kernel: 'hopper' needs compute capability 9.0, which the current device has not");
        fastret::cuda::use_search_kernel(*kernel);
      },
      py::arg("name"),
      "Scan keys with this kernel from now on: portable, hopper (compute capability 9.0), or auto: hopper "
      "where the device can run it. Raises ValueError for another name, and for hopper where the current "
      "device cannot.");
}
