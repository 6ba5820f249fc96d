# The torch-free CPU kernels: included by the extension and by the native tests.
set(KERNELS_DIR ${CMAKE_CURRENT_LIST_DIR})
set(FASTRET_WARNINGS -Wall -Wextra $<$<BOOL:${FASTRET_WERROR}>:-Werror>)

add_library(fastret_kernels OBJECT
  ${KERNELS_DIR}/isa.cpp
  ${KERNELS_DIR}/cpu/scalar.cpp
  ${KERNELS_DIR}/cpu/product_codes_scalar.cpp
  ${KERNELS_DIR}/cpu/product_encode.cpp
  ${KERNELS_DIR}/cpu/product_scan.cpp
  ${KERNELS_DIR}/cpu/list_terms.cpp
  ${KERNELS_DIR}/cpu/nearest_product_search.cpp
  ${KERNELS_DIR}/cpu/refined_product_codes.cpp
  ${KERNELS_DIR}/cpu/axes_rotation.cpp
  ${KERNELS_DIR}/cpu/contrastive.cpp
  ${KERNELS_DIR}/cpu/error_bound.cpp
  ${KERNELS_DIR}/cpu/extra_scores.cpp
  ${KERNELS_DIR}/cpu/first_pass.cpp
  ${KERNELS_DIR}/cpu/kmeans_steps.cpp
  ${KERNELS_DIR}/cpu/key_panels.cpp
  ${KERNELS_DIR}/cpu/query_block.cpp
  ${KERNELS_DIR}/cpu/scan.cpp
  ${KERNELS_DIR}/cpu/scan_queries.cpp
  ${KERNELS_DIR}/cpu/rescore.cpp
  ${KERNELS_DIR}/cpu/search.cpp
  ${KERNELS_DIR}/cpu/range_search.cpp
  ${KERNELS_DIR}/cpu/level_pass.cpp
  ${KERNELS_DIR}/cpu/level_scores.cpp
  ${KERNELS_DIR}/cpu/levels.cpp
  ${KERNELS_DIR}/cpu/list_range_search.cpp
  ${KERNELS_DIR}/cpu/list_rows.cpp
  ${KERNELS_DIR}/cpu/list_scan.cpp
  ${KERNELS_DIR}/cpu/list_search.cpp
  ${KERNELS_DIR}/cpu/nearest_columns.cpp
  ${KERNELS_DIR}/cpu/nearest_lists.cpp
  ${KERNELS_DIR}/cpu/select_k.cpp
  ${KERNELS_DIR}/cpu/pair_scores.cpp
  ${KERNELS_DIR}/cpu/pairwise_scores.cpp
  ${KERNELS_DIR}/cpu/row_sums.cpp
  ${KERNELS_DIR}/cpu/hnsw_add.cpp
  ${KERNELS_DIR}/cpu/hnsw_search.cpp
  ${KERNELS_DIR}/cpu/hamming.cpp
  ${KERNELS_DIR}/cpu/hamming_scalar.cpp
  ${KERNELS_DIR}/cpu/unit_rows.cpp)

# One translation unit per instruction set, each with the flags of that set only. These files include intrinsics
# and C headers alone: an inline C++ library function compiled there could leak into the baseline.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/avx2.cpp ${KERNELS_DIR}/cpu/avx_vnni.cpp
    ${KERNELS_DIR}/cpu/avx512.cpp ${KERNELS_DIR}/cpu/avx512_vnni.cpp)
  set(AVX2 "-mavx2;-mfma;-mf16c")
  set_source_files_properties(${KERNELS_DIR}/cpu/avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/avx_vnni.cpp PROPERTIES COMPILE_OPTIONS "${AVX2};-mavxvnni")
  # GCC 12 warns of its own AVX-512 header (PR105593).
  set(AVX512 "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mfma;-mf16c;-mprefer-vector-width=512;-Wno-uninitialized;-Wno-maybe-uninitialized")
  set_source_files_properties(${KERNELS_DIR}/cpu/avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  set_source_files_properties(${KERNELS_DIR}/cpu/avx512_vnni.cpp PROPERTIES COMPILE_OPTIONS "${AVX512};-mavx512vnni")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/product_codes_avx2.cpp
    ${KERNELS_DIR}/cpu/product_codes_avx512.cpp
    ${KERNELS_DIR}/cpu/product_codes_avx512_vbmi.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/product_codes_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/product_codes_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  set_source_files_properties(${KERNELS_DIR}/cpu/product_codes_avx512_vbmi.cpp PROPERTIES COMPILE_OPTIONS "${AVX512};-mavx512vbmi")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/row_sums_avx2.cpp ${KERNELS_DIR}/cpu/row_sums_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/row_sums_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/row_sums_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/nearest_columns_avx2.cpp
    ${KERNELS_DIR}/cpu/nearest_columns_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/nearest_columns_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/nearest_columns_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/hamming_avx2.cpp ${KERNELS_DIR}/cpu/hamming_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/hamming_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2};-mpopcnt")
  set_source_files_properties(${KERNELS_DIR}/cpu/hamming_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512};-mavx512vpopcntdq")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/levels_avx2.cpp ${KERNELS_DIR}/cpu/levels_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/levels_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/levels_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/level_scores_avx2.cpp
    ${KERNELS_DIR}/cpu/level_scores_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/level_scores_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/level_scores_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/extra_scores_avx2.cpp ${KERNELS_DIR}/cpu/extra_scores_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/extra_scores_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/extra_scores_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/contrastive_avx2.cpp ${KERNELS_DIR}/cpu/contrastive_avx512.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/contrastive_avx2.cpp PROPERTIES COMPILE_OPTIONS "${AVX2}")
  set_source_files_properties(${KERNELS_DIR}/cpu/contrastive_avx512.cpp PROPERTIES COMPILE_OPTIONS "${AVX512}")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_sources(fastret_kernels PRIVATE ${KERNELS_DIR}/cpu/neon.cpp ${KERNELS_DIR}/cpu/neon_dotprod.cpp)
  set_source_files_properties(${KERNELS_DIR}/cpu/neon_dotprod.cpp PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod")
endif()

target_include_directories(fastret_kernels PUBLIC ${KERNELS_DIR}/..)
# -ffp-contract=off: a fused multiply-add where the source says multiply, add would change canonical bits.
target_compile_options(fastret_kernels PRIVATE ${FASTRET_WARNINGS} -O3 -ffp-contract=off -fno-math-errno)
if(FASTRET_SANITIZE)
  target_compile_options(fastret_kernels PUBLIC -fsanitize=${FASTRET_SANITIZE} -fno-sanitize-recover=all -O1 -g
    -fno-omit-frame-pointer)
  target_link_options(fastret_kernels PUBLIC -fsanitize=${FASTRET_SANITIZE})
endif()
