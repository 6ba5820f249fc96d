// The CUDA library: importing it, after fastret._C, adds the CUDA implementations to torch.ops.fastret.*
#include <cuda_runtime_api.h>
#include <pybind11/pybind11.h>

#include <string>

PYBIND11_MODULE(_C_cuda, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The CUDA library. Importing it adds the CUDA implementations of torch.ops.fastret.*";
  m.attr("cuda_version") =
      std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}
