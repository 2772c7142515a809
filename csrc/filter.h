// Symmetric filters over rows of floats, sixteen values at a time.
#pragma once

#include <cstdint>

#include "simd.h"

namespace facecure {

// Sixteen floats that the compiler lays into whatever registers the target has.
typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));
constexpr int lanes = 16;
constexpr int whole_lanes(int count) { return (count + lanes - 1) / lanes * lanes; }

FACECURE_INLINE const Lanes& lanes_at(const float* from) { return *reinterpret_cast<const Lanes*>(from); }

// Weighted means of at least `count` windows, up to whole lanes: of the rows, or places of one row, that `at(k)` names.
template <int Taps, class At>
FACECURE_INLINE void filter(const At& at, const float* weights, int count, float* out) {
  constexpr int half = Taps / 2;
  const float* from[Taps];
  float w[half + 1];  // local, so that no store can change them
  for (int k = 0; k < Taps; ++k) from[k] = at(k);
  for (int k = 0; k <= half; ++k) w[k] = weights[k];
  for (int x = 0; x < count; x += lanes) {
    Lanes sum = w[half] * lanes_at(from[half] + x);
#pragma GCC unroll 5
    for (int k = 0; k < half; ++k) sum += w[k] * (lanes_at(from[k] + x) + lanes_at(from[Taps - 1 - k] + x));
    *reinterpret_cast<Lanes*>(out + x) = sum;
  }
}

// Along a row.
template <int Taps>
FACECURE_INLINE void along(const float* row, const float* weights, int count, float* out) {
  filter<Taps>([=](int k) FACECURE_INLINE_LAMBDA { return row + k; }, weights, count, out);
}

}  // namespace facecure
