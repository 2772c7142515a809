// Marks a function of single values that the CPU kernels and their CUDA twins share. Most are written for any F: a
// float, or on the CPU a vector of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "shared/simd.h"

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
FACECURE_VALUE F all(float value) {
  return F{} + value;
}

template <class Choice, class F>
FACECURE_VALUE F select(const Choice& first, const F& a, const F& b) {
  return first ? a : b;
}

template <class F>
FACECURE_VALUE F clamped(const F& value, float low, float high) {
  const F least = all<F>(low), most = all<F>(high), raised = value < least ? least : value;
  return most < raised ? most : raised;
}

// 2^k, k from −126 to 127, given k + 3 · 2^22.
template <class F>
FACECURE_VALUE F power_of_two(const F& sum) {
  std::conditional_t<std::is_same_v<F, float>, std::int32_t, decltype(F{} < F{})> bits;
  std::memcpy(&bits, &sum, sizeof bits);
  bits = (bits + 127) << 23;
  F power;
  std::memcpy(&power, &bits, sizeof power);
  return power;
}

}  // namespace facecure
