// Marks a function of single values that the CPU kernels and their CUDA twins share.
#pragma once

#include "simd.h"

#ifdef __CUDACC__
#define FACECURE_VALUE __host__ __device__ __forceinline__
#else
#define FACECURE_VALUE FACECURE_INLINE
#endif

namespace facecure {

// Symmetric weighted sum of what `at(0)` … `at(Taps − 1)` return, from the middle outwards as `filter` takes it.
template <int Taps, class At>
FACECURE_VALUE float weighted(const At& at, const float* weights) {
  constexpr int half = Taps / 2;
  float sum = weights[half] * at(half);
  for (int k = 0; k < half; ++k) sum += weights[k] * (at(k) + at(Taps - 1 - k));
  return sum;
}

}  // namespace facecure
