"""Every public name of FAISS 1.15.1 and of faiss-gpu, by tier, and what to use instead of those that are not here."""

from __future__ import annotations

from typing import Literal, NamedTuple

Tier = Literal["1", "2", "3", "beyond"]


class Family(NamedTuple):
    """Names of one tier: 1 what most programs use, to 3 what few do; beyond is not planned."""

    tier: Tier
    what: str
    instead: str
    names: str  # separated by white space


FAMILIES = (
    Family(
        "1",
        "flat indexes and the base of all",
        "",
        """
        Index IndexFlat IndexFlatCodes IndexFlatIP IndexFlatL2 METRIC_BrayCurtis METRIC_Canberra METRIC_GOWER
        METRIC_INNER_PRODUCT METRIC_Jaccard METRIC_JensenShannon METRIC_L1 METRIC_L2 METRIC_Linf METRIC_Lp
        METRIC_NaNEuclidean downcast_index is_similarity_metric metric_type_count metric_type_from_int
        """,
    ),
    Family(
        "1",
        "ids and their selection",
        "",
        """
        IDSelector IDSelectorAll IDSelectorAnd IDSelectorArray IDSelectorBatch IDSelectorBitmap IDSelectorNot
        IDSelectorOr IDSelectorRange IDSelectorTranslated IDSelectorXOr IndexIDMap IndexIDMap2
        PyCallbackIDSelector SearchParameters
        """,
    ),
    Family(
        "1",
        "searches without an index",
        "",
        """
        RangeSearchResult ResultHeap checksum eval_intersection kmax kmin knn merge_knn_results normalize_L2
        pairwise_distances
        """,
    ),
    Family(
        "1",
        "clustering",
        "",
        """
        Clustering ClusteringInitMethod_AFK_MC2 ClusteringInitMethod_KMEANS_PLUS_PLUS
        ClusteringInitMethod_RANDOM ClusteringIterationStats ClusteringIterationStatsVector ClusteringParameters
        Kmeans RandomGenerator byte_rand float_rand float_randn imbalance_factor int64_rand int64_rand_max
        kmeans_clustering lrand rand rand_perm rand_smooth_vectors randint randn
        """,
    ),
    Family(
        "1",
        "files, bytes and callbacks",
        "",
        """
        BufferedIOReader BufferedIOWriter FileIOReader FileIOWriter IOReader IOWriter IO_FLAG_MMAP
        IO_FLAG_MMAP_IFC IO_FLAG_ONDISK_SAME_DIR IO_FLAG_PQ_SKIP_SDC_TABLE IO_FLAG_READ_ONLY
        IO_FLAG_SKIP_IVF_DATA IO_FLAG_SKIP_PRECOMPUTE_TABLE IO_FLAG_SKIP_STORAGE MappedFileIOReader
        PyCallbackIOReader PyCallbackIOWriter VectorIOReader VectorIOWriter ZeroCopyIOReader clone_index
        deserialize_index index_factory read_index serialize_index write_index
        """,
    ),
    Family(
        "1",
        "threads and versions",
        "",
        """
        FAISS_VERSION_MAJOR FAISS_VERSION_MINOR FAISS_VERSION_PATCH Float16 Float32 Int8 UInt8 VERSION_STRING
        check_openmp get_compile_options get_cycles get_mem_usage_kb get_numeric_type_size get_version
        getmillisecs omp_get_max_threads omp_set_num_threads swig_version
        """,
    ),
    Family(
        "1",
        "GPU names",
        "",
        """
        DistanceDataType_BF16 DistanceDataType_F16 DistanceDataType_F32 GpuClonerOptions GpuDistanceParams
        GpuIndex GpuIndexBinaryFlat GpuIndexBinaryFlatConfig GpuIndexConfig GpuIndexFlat GpuIndexFlatConfig
        GpuIndexFlatIP GpuIndexFlatL2 GpuIndexIVFConfig GpuIndexIVFFlatConfig GpuIndexIVFPQConfig
        GpuIndexIVFScalarQuantizerConfig GpuMultipleClonerOptions GpuParameterSpace GpuResources
        GpuResourcesProvider GpuResourcesVector INDICES_32_BIT INDICES_64_BIT INDICES_CPU INDICES_IVF
        IndicesDataType_I32 IndicesDataType_I64 MemorySpace_Device MemorySpace_Temporary MemorySpace_Unified
        StandardGpuResources StandardGpuResourcesImpl ToCPUCloner ToGpuCloner ToGpuClonerMultiple bfKnn
        bfKnn_tiling bruteForceKnn cast_integer_to_cudastream_t cast_integer_to_long_ptr get_num_gpus
        gpu_profiler_start gpu_profiler_stop gpu_sync_all_devices index_binary_cpu_to_gpu
        index_binary_cpu_to_gpu_multiple index_binary_gpu_to_cpu index_cpu_to_all_gpus index_cpu_to_gpu
        index_cpu_to_gpu_multiple index_cpu_to_gpu_multiple_py index_cpu_to_gpus_list index_gpu_to_cpu knn_gpu
        pairwise_distance_gpu
        """,
    ),
    Family(
        "2",
        "inverted files and codes",
        "",
        """
        DirectMap IVFPQSearchParameters IVFSearchParameters IndexFastScan IndexIVF IndexIVFFastScan IndexIVFFlat
        IndexIVFPQ IndexIVFPQFastScan IndexIVFScalarQuantizer IndexIVFStats IndexPQ IndexPQFastScan
        IndexScalarQuantizer ProductQuantizer ScalarQuantizer SearchParametersIVF SearchParametersPQ
        extract_index_ivf range_search_with_parameters read_ProductQuantizer search_with_parameters
        try_extract_index_ivf write_ProductQuantizer
        """,
    ),
    Family(
        "2",
        "graphs",
        "",
        """
        HNSW HNSWStats IndexHNSW IndexHNSWFlat IndexHNSWPQ IndexHNSWSQ SearchParametersHNSW
        """,
    ),
    Family(
        "2",
        "transforms and refinement",
        "",
        """
        CenteringTransform HadamardRotation ITQMatrix ITQTransform IndexPreTransform IndexRefine IndexRefineFlat
        IndexRefineSearchParameters LinearTransform NormalizationTransform OPQMatrix PCAMatrix
        RandomRotationMatrix RemapDimensionsTransform SearchParametersPreTransform VectorTransform
        VectorTransformVector downcast_VectorTransform read_VectorTransform write_VectorTransform
        """,
    ),
    Family(
        "2",
        "binary vectors",
        "",
        """
        IndexBinary IndexBinaryFlat IndexBinaryFromFloat IndexBinaryIDMap IndexBinaryIDMap2 IndexBinaryIVF
        IndexBinaryReplicas IndexBinaryShards IndexLSH binary_to_real clone_binary_index
        deserialize_index_binary downcast_IndexBinary index_binary_factory knn_hamming pack_bitstrings
        read_index_binary real_to_binary serialize_index_binary unpack_bitstrings write_index_binary
        """,
    ),
    Family(
        "2",
        "vectors of C++ and pointers",
        "",
        """
        AlignedTableFloat32 AlignedTableUint16 AlignedTableUint8 AlignedTable_to_array BitstringReader
        BitstringWriter ByteVector ByteVectorVector CharVector DoubleVector Float32Vector Float32VectorVector
        Float64Vector FloatVector FloatVectorVector Int16Vector Int32Vector Int32VectorVector Int64Vector
        Int64VectorVector Int8Vector IntVector InvertedListsPtrVector LongLongVector LongVector LongVectorVector
        MaybeOwnedVectorFloat32 MaybeOwnedVectorFloat32Vector MaybeOwnedVectorInt32 MaybeOwnedVectorInt32Vector
        MaybeOwnedVectorOwner MaybeOwnedVectorUInt8 MaybeOwnedVectorUInt8Vector OperatingPointVector
        ParameterRangeVector UInt16Vector UInt32Vector UInt64Vector UInt8Vector UInt8VectorVector Uint64Vector
        array_to_AlignedTable cast_integer_to_float_ptr cast_integer_to_idx_t_ptr cast_integer_to_int_ptr
        cast_integer_to_uint8_ptr cast_integer_to_void_ptr copy_array_to_AlignedTable copy_array_to_vector
        memcpy rev_swig_ptr swig_ptr vector_float_to_array vector_to_array
        """,
    ),
    Family(
        "2",
        "parameters and tuning",
        "",
        """
        AutoTuneCriterion IntersectionCriterion MatrixStats OneRecallAtRCriterion OperatingPoint OperatingPoints
        ParameterRange ParameterSpace bucket_sort cvar matrix_bucket_sort_inplace
        """,
    ),
    Family(
        "3",
        "GPU names of IVF indexes",
        "the index of the same name without Gpu",
        """
        GpuIndexIVF GpuIndexIVFFlat GpuIndexIVFPQ GpuIndexIVFScalarQuantizer
        """,
    ),
    Family(
        "3",
        "inverted lists and what holds them",
        "",
        """
        ArrayInvertedLists CappedInvertedLists ConcatenatedInvertedLists DefaultShardingFunction
        HStackInvertedLists InvertedLists MaskedInvertedLists OnDiskInvertedLists PyCallbackShardingFunction
        ReadOnlyInvertedLists ShardingFunction SliceInvertedLists SlidingIndexWindow StopWordsInvertedLists
        VStackInvertedLists check_compatible_for_merge downcast_InvertedLists get_invlist_range lo_build
        lo_listno lo_offset merge_into read_InvertedLists search_and_return_centroids search_centroid
        set_invlist_range shard_ivf_index_centroids write_InvertedLists
        """,
    ),
    Family(
        "3",
        "several indexes as one",
        "",
        """
        IndexProxy IndexReplicas IndexShards IndexShardsIVF ThreadedIndexBase ThreadedIndexBaseBinary
        """,
    ),
    Family(
        "beyond",
        "CAGRA graphs and what only GPU kernels have",
        "GpuIndexFlatL2, which is exact, or IndexHNSWFlat",
        """
        AllocInfo AllocRequest GpuIcmEncoder GpuIcmEncoderFactory GpuIndexBinaryCagra GpuIndexCagra
        GpuIndexCagraConfig GpuMemoryReservation GpuProgressiveDimIndexFactory IVFPQBuildCagraConfig
        IVFPQSearchCagraConfig IndexBinaryHNSWCagra IndexHNSWCagra SearchParametersCagra should_use_cuvs
        """,
    ),
    Family(
        "beyond",
        "codes in blocks for SIMD tables",
        "IndexPQ or IndexIVFPQ, whose codes are as long",
        """
        APPROX_TOPK_BUCKETS_B16_D2 APPROX_TOPK_BUCKETS_B32_D2 APPROX_TOPK_BUCKETS_B8_D2
        APPROX_TOPK_BUCKETS_B8_D3 CMax_float_partition_fuzzy CMax_uint16_partition_fuzzy
        CMin_float_partition_fuzzy CMin_uint16_partition_fuzzy EXACT_TOPK FastScanDistancePostProcessing
        FastScanStats IVFFastScanStats IndexAdditiveQuantizerFastScan IndexIVFAdditiveQuantizerFastScan
        IndexIVFLocalSearchQuantizerFastScan IndexIVFProductLocalSearchQuantizerFastScan
        IndexIVFProductResidualQuantizerFastScan IndexIVFRaBitQFastScan IndexIVFResidualQuantizerFastScan
        IndexLocalSearchQuantizerFastScan IndexProductLocalSearchQuantizerFastScan
        IndexProductResidualQuantizerFastScan IndexRaBitQFastScan IndexResidualQuantizerFastScan PQDecoder16
        PQDecoder8 PQDecoderGeneric PQEncoder16 PQEncoder8 PQEncoderGeneric approx_topk_by_mode
        aq_estimate_norm_scale aq_quantize_LUT_and_bias compute_PQ_dis_tables_dsub2 extract_bit_fastscan
        extract_bit_standard quantize_LUT_and_bias round_clamped_to_uint8 round_nonnegative_to_uint16
        round_nonnegative_to_uint8 round_uint8_per_column round_uint8_per_column_multi set_bit_fastscan
        set_bit_standard simd_histogram_16 simd_histogram_8
        """,
    ),
    Family(
        "beyond",
        "RaBitQ, EDEN and TurboQuant codes",
        "IndexScalarQuantizer with QT_4bit, or IndexPQ",
        """
        EDENCodeFactors EDENFlatCodesDistanceComputer EDENScaleType_BIASED EDENScaleType_UNBIASED
        ExtraBitsFactors IVFRaBitQSearchParameters IVFSQTurboQSearchParameters IndexEDEN IndexHNSWRaBitQ
        IndexIVFEDEN IndexIVFRaBitQ IndexRaBitQ QueryFactorsData RaBitQDistanceComputer RaBitQSearchParameters
        RaBitQStats RaBitQuantizer SignBitFactors SignBitFactorsWithError Z_MAX_BY_QB code_size
        compute_1bit_adjusted_distance compute_factors_from_intermediates compute_full_multibit_distance
        compute_per_vector_storage_size compute_query_factors compute_vector_factors
        compute_vector_intermediate_values extract_code extract_code_inline is_eden_quantizer_type
        nb_bits_for_qtype packed_code_size populate_block_aux_from_flat_storage quantizer_type_for_bits
        unpack_sign_bits_from_packed
        """,
    ),
    Family(
        "beyond",
        "Panorama layouts",
        "the index of the same name without Panorama: flat indexes are exact and faster",
        """
        ArrayInvertedListsPanorama IndexFlatIPPanorama IndexFlatL2Panorama IndexFlatPanorama
        IndexHNSWFlatPanorama IndexIVFFlatPanorama IndexRefinePanorama Panorama PanoramaStats
        search_from_candidates_panorama
        """,
    ),
    Family(
        "beyond",
        "additive and neural quantizers",
        "IndexPQ or IndexIVFPQ, with IndexRefineFlat around it for accuracy",
        """
        AdditiveCoarseQuantizer AdditiveQuantizer CodeSet ComputeCodesAddCentroidsLUT0MemoryPool
        ComputeCodesAddCentroidsLUT1MemoryPool Embedding FFN IcmEncoder IcmEncoderFactory IndexAdditiveQuantizer
        IndexIVFAdditiveQuantizer IndexIVFLocalSearchQuantizer IndexIVFProductLocalSearchQuantizer
        IndexIVFProductResidualQuantizer IndexIVFResidualQuantizer IndexLocalSearchQuantizer IndexNeuralNetCodec
        IndexProductLocalSearchQuantizer IndexProductResidualQuantizer IndexQINCo IndexResidual
        IndexResidualQuantizer Int32Tensor2D LSQTimer LSQTimerScope Linear LocalSearchCoarseQuantizer
        LocalSearchQuantizer NeuralNetCodec ProductAdditiveQuantizer ProductLocalSearchQuantizer
        ProductResidualQuantizer QINCo QINCoStep RefineBeamLUTMemoryPool RefineBeamMemoryPool
        ResidualCoarseQuantizer ResidualQuantizer SearchParametersResidualCoarseQuantizer Tensor2D
        beam_search_encode_step beam_search_encode_step_tab compute_codes compute_codes_add_centroids_mp_lut0
        compute_codes_add_centroids_mp_lut1 downcast_AdditiveQuantizer ivf_residual_add_from_flat_codes
        ivf_residual_from_quantizer refine_beam_LUT_mp refine_beam_mp
        """,
    ),
    Family(
        "beyond",
        "lattice and two-level codecs",
        "IndexPQ or IndexIVFPQ",
        """
        EnumeratedVectors Index2Layer IndexFlat1D IndexHNSW2Level IndexIVFFlatDedup IndexIVFIndependentQuantizer
        IndexIVFPQR IndexIVFSpectralHash IndexLattice IndexRandom IndexRowwiseMinMax IndexRowwiseMinMaxBase
        IndexRowwiseMinMaxFP16 IndexSplitVectors Level1Quantizer MapInt64ToInt64 MapLong2Long
        MultiIndexQuantizer MultiIndexQuantizer2 Repeat RepeatVector Repeats ZnSphereCodec ZnSphereCodecAlt
        ZnSphereCodecRec ZnSphereSearch get_deserialization_lattice_r2_limit hashtable_int64_to_int64_add
        hashtable_int64_to_int64_init hashtable_int64_to_int64_lookup set_deserialization_lattice_r2_limit
        """,
    ),
    Family(
        "beyond",
        "other graphs",
        "IndexHNSWFlat",
        """
        IndexNNDescent IndexNNDescentFlat IndexNSG IndexNSGFlat IndexNSGPQ IndexNSGSQ NNDescent NSG
        NSG_Graph_int Neighbor Nhood VisitedTable VisitedTableSet VisitedTableVector greedy_update_nearest
        hnsw_add_vertices_deterministic reflection search_from_candidate_unbounded search_from_candidates
        search_neighbors_to_add storage_distance_computer
        """,
    ),
    Family(
        "beyond",
        "graphs and hash tables of binary vectors",
        "IndexBinaryFlat or IndexBinaryIVF",
        """
        IndexBinaryHNSW IndexBinaryHash IndexBinaryHashStats IndexBinaryMultiHash
        shard_binary_ivf_index_centroids
        """,
    ),
    Family(
        "beyond",
        "inner parts of inverted files and quantizers",
        "the fields and methods of the index",
        """
        BinaryInvertedListScanner BlockInvertedLists CodePacker CodePackerFlat DirectMapAdd IDScanContext
        IDSelectorContextDispatch IDSelectorWithContext IndexIVFInterface IndexIVFPQStats IndexPQStats
        InvertedListScanner InvertedListScannerStats InvertedListsIOHook InvertedListsIterator OnDiskOneList
        OnDiskOneListVector Quantizer clone_Quantizer downcast_Quantizer initialize_IVFPQ_precomputed_table
        merge_result_table_with
        """,
    ),
    Family(
        "beyond",
        "interrupts",
        "a process of its own, which can be ended",
        """
        InterruptCallback PythonInterruptCallback TimeoutCallback TimeoutGuard
        """,
    ),
    Family(
        "beyond",
        "other clusterings",
        "Kmeans",
        """
        Clustering1D ClusteringInitialization ProgressiveDimClustering ProgressiveDimClusteringParameters
        ProgressiveDimIndexFactory SuperKMeans SuperKMeansAssignScratch SuperKMeansParameters SuperKmeans
        kmeans1d precompute_ad_thresholds super_kmeans_assign_iteration super_kmeans_assign_iteration_c
        """,
    ),
    Family(
        "beyond",
        "polysemous training",
        "IndexPQ as it is",
        """
        PermutationObjective PolysemousTraining ReproduceDistancesObjective SimulatedAnnealingOptimizer
        SimulatedAnnealingParameters
        """,
    ),
    Family(
        "beyond",
        "distances of single vectors and bits",
        "numpy, torch, knn or pairwise_distances",
        """
        BufferList CombinerRangeKNNfloat CombinerRangeKNNint16 DistanceComputer FlatCodesDistanceComputer
        NegativeDistanceComputer RangeQueryResult RangeSearchPartialResult bincode_hist bitvec_print
        bitvec_shuffle bitvecs2fvecs bvec_checksum bvecs_checksum crosshamming_count_thres float_maxheap_array_t
        float_minheap_array_t fvec2bitvec fvec_L1 fvec_L2sqr fvec_L2sqr_batch_4 fvec_L2sqr_by_idx fvec_L2sqr_ny
        fvec_L2sqr_ny_nearest fvec_L2sqr_ny_nearest_y_transposed fvec_L2sqr_ny_transposed fvec_Linf fvec_add
        fvec_argsort fvec_argsort_parallel fvec_inner_product fvec_inner_product_batch_4
        fvec_inner_products_by_idx fvec_inner_products_ny fvec_madd fvec_madd_and_argmin fvec_norm_L2sqr
        fvec_norms_L2 fvec_norms_L2sqr fvec_renorm_L2 fvec_sub fvecs2bitvecs fvecs_maybe_subsample
        generalized_hamming_64 generalized_hammings_knn_hc get_distance_computer get_extra_distance_computer
        hamdis_tab_ham_bytes hamming_count_thres hamming_range_search hammings hammings_knn hammings_knn_hc
        hammings_knn_mc inner_product_to_L2sqr int_maxheap_array_t int_minheap_array_t knn_L2sqr
        knn_L2sqr_by_idx knn_extra_metrics knn_inner_product knn_inner_products_by_idx match_hamming_thres
        merge_knn_results_CMax merge_knn_results_CMin pairwise_L2sqr pairwise_extra_distances
        pairwise_indexed_L2sqr pairwise_indexed_inner_product popcount32 popcount64 range_search_L2sqr
        range_search_inner_product ranklist_handle_ties ranklist_intersection_size
        """,
    ),
    Family(
        "beyond",
        "SIMD levels",
        "fastret.build_info() and FASTRET_ISA",
        """
        SIMDConfig SIMDLevel_ARM_NEON SIMDLevel_ARM_SVE SIMDLevel_AVX2 SIMDLevel_AVX512 SIMDLevel_AVX512_SPR
        SIMDLevel_AVX512_VPOPCNT SIMDLevel_COUNT SIMDLevel_NONE SIMDLevel_RISCV_RVV SINGLE_SIMD_LEVEL
        SINGLE_SIMD_LEVEL_256 SINGLE_SIMD_LEVEL_512 compiled_simd_levels has_AVX2 has_AVX512 has_AVX512_SPR
        has_SVE instruction_sets opt_env_variable_name opt_level supported_instruction_sets to_simd_level
        to_string
        """,
    ),
    Family(
        "beyond",
        "numbers and helpers of FAISS itself",
        "numpy",
        """
        PartitionStats SplitMix64RandomGenerator chi2_quantile_wh fourcc fourcc_inv fourcc_inv_printable
        get_deserialization_loop_limit get_deserialization_vector_byte_limit hash_bytes ivec_checksum ivec_hist
        matrix_qr normal_quantile obj rand_perm_splitmix64 set_deserialization_loop_limit
        set_deserialization_vector_byte_limit should_refine_candidate smawk
        """,
    ),
    Family(
        "beyond",
        "what FAISS's modules leave behind",
        "nothing: no program needs it",
        """
        Cloner MmappedFileMappingOwner SHARED_PTR_DISOWN SwigPyIterator Version add_ref_in_constructor
        add_ref_in_function add_ref_in_method add_ref_in_method_explicit_own add_to_referenced_objects
        base_prefix decode depr_prefix deprecated_name_map loaded logger range_search_with_parameters_c
        search_with_parameters_c sizeof_long symbol the_class vector_name_map
        """,
    ),
)
