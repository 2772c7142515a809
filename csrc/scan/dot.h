// Product of two float32 vectors, in as many running sums as keep any processor busy.
#pragma once

#include <cstdint>
#include <cstring>

#include "shared/simd.h"

namespace facecure {

FACECURE_INLINE float dot_of(const float* x, const float* y, std::int64_t size) {
  typedef float Sixteen __attribute__((vector_size(64)));
  Sixteen sums[2] = {}, a, b;
  std::int64_t k = 0;
  for (; k + 32 <= size; k += 32) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      std::memcpy(&a, x + k + 16 * i, sizeof a);
      std::memcpy(&b, y + k + 16 * i, sizeof b);
      sums[i] += a * b;
    }
  }
  sums[0] += sums[1];
  float sum = 0;
  for (int i = 0; i < 16; ++i) sum += sums[0][i];
  for (; k < size; ++k) sum += x[k] * y[k];
  return sum;
}

}  // namespace facecure
