// Marks a function of single values that the CPU kernels and their CUDA twins share. Most are written for any F: a float,
// or on the CPU a vector of them.
#pragma once

#include "simd.h"

#ifdef __CUDACC__
#define FACECURE_VALUE __host__ __device__ __forceinline__
#else
#define FACECURE_VALUE FACECURE_INLINE
#endif

namespace facecure {

// Symmetric weighted sum of what `at(0)` … `at(Taps − 1)` return, from the middle outwards.
template <int Taps, class At>
FACECURE_VALUE auto weighted(const At& at, const float* weights) {
  constexpr int half = Taps / 2;
  auto sum = weights[half] * at(half);
  for (int k = 0; k < half; ++k) sum += weights[k] * (at(k) + at(Taps - 1 - k));
  return sum;
}

template <class F>
FACECURE_VALUE F all(float value) { return F{} + value; }

template <class Choice, class F>
FACECURE_VALUE F select(const Choice& first, const F& a, const F& b) { return first ? a : b; }

template <class F>
FACECURE_VALUE F clamped(const F& value, float low, float high) {
  return select(value < low, all<F>(low), select(value > high, all<F>(high), value));
}

}  // namespace facecure
