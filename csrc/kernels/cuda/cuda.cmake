# The CUDA library: included where a CUDA compiler was found. The module links nothing of CUDA builds of torch, which
# need not exist where it is compiled: at run time libtorch.so brings them.
set(CUDA_DIR ${CMAKE_CURRENT_LIST_DIR})

# wgmma and setmaxnreg exist for sm_90a alone. Which kernel scans is chosen at run time (scan_choice.cpp).
add_library(scan_hopper OBJECT ${CUDA_DIR}/scan_hopper.cu)
set_target_properties(scan_hopper PROPERTIES CUDA_ARCHITECTURES 90a-real)

pybind11_add_module(_C_cuda MODULE NO_EXTRAS
  csrc/bindings/module_cuda.cpp
  csrc/ops/cosine_scores_cuda.cpp
  csrc/ops/pair_scores_cuda.cpp
  csrc/ops/planes_cuda.cpp
  csrc/ops/search_cuda.cpp
  csrc/ops/select_k_cuda.cpp
  csrc/ops/unit_rows_cuda.cpp
  ${CUDA_DIR}/dense.cu
  ${CUDA_DIR}/key_lists.cu
  ${CUDA_DIR}/pair_scores.cu
  ${CUDA_DIR}/pairwise_scores.cu
  ${CUDA_DIR}/query_list.cu
  ${CUDA_DIR}/rescore.cu
  ${CUDA_DIR}/scan_choice.cpp
  ${CUDA_DIR}/scan_mma.cu
  ${CUDA_DIR}/search.cu
  ${CUDA_DIR}/select_k.cu
  ${CUDA_DIR}/select_k_filter.cu
  ${CUDA_DIR}/select_k_short.cu
  ${CUDA_DIR}/select_k_sort.cu
  ${CUDA_DIR}/sort_keys.cu
  ${CUDA_DIR}/split_rows.cu
  ${CUDA_DIR}/tighten.cu
  ${CUDA_DIR}/unit_rows.cu
  $<TARGET_OBJECTS:scan_hopper>)
target_link_libraries(_C_cuda PRIVATE torch_stable)
target_link_options(_C_cuda PRIVATE "LINKER:--no-as-needed" "${TORCH_DIR}/lib/libtorch.so")
target_compile_definitions(_C_cuda PRIVATE USE_CUDA)  # declares the CUDA entry points of torch's stable ABI
# -fmad=false: a fused multiply-add where the source says multiply, add would change canonical bits. Spills and local
# memory are warnings, and so errors under FASTRET_WERROR.
foreach(target _C_cuda scan_hopper)
  target_include_directories(${target} PRIVATE csrc)
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  set_target_properties(${target} PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-O3;-ffp-contract=off;${FASTRET_WARNINGS}>
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-lineinfo;-Xcompiler=-Wall,-Wextra;-Xptxas=-v,-warn-spills,-warn-lmem-usage;$<$<BOOL:${FASTRET_WERROR}>:-Werror=all-warnings>>)
endforeach()
install(TARGETS _C_cuda LIBRARY DESTINATION fastret)
