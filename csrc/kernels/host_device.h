// For functions that CPU and CUDA code share.
#pragma once

#ifdef __CUDACC__
#define FASTRET_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define FASTRET_HOST_DEVICE inline
#endif
