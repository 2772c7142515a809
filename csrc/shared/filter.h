// Rows of floats taken a register at a time, and symmetric filters over them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "shared/simd.h"
#include "shared/value.h"

namespace facecure {

// As many floats as a register of an instruction set holds, or fewer.
template <int lanes>
struct Vector {
  typedef float Floats __attribute__((vector_size(sizeof(float) * lanes)));
  typedef double Doubles __attribute__((vector_size(sizeof(double) * lanes)));
};
template <int lanes>
using Floats = typename Vector<lanes>::Floats;

constexpr int most_lanes = 16;
constexpr int whole_vectors(int count) { return (count + most_lanes - 1) / most_lanes * most_lanes; }

template <int lanes>
FACECURE_INLINE Floats<lanes> load(const float* from) {
  Floats<lanes> values;
  std::memcpy(&values, from, sizeof values);
  return values;
}
template <class F>
FACECURE_INLINE void store(float* to, const F& values) {
  std::memcpy(to, &values, sizeof values);
}

// How many values of a vector there are: an int, or Whole.
template <int lanes>
using Whole = std::integral_constant<int, lanes>;

// The others are 0.
template <int lanes, class Some>
FACECURE_INLINE Floats<lanes> load_some(const float* from, Some some) {
  if constexpr (std::is_same_v<Some, Whole<lanes>>) return load<lanes>(from);
  Floats<lanes> values = {};
  std::memcpy(&values, from, sizeof(float) * unsigned(some));
  return values;
}
template <class F, class Some>
FACECURE_INLINE void store_some(float* to, const F& values, Some some) {
  std::memcpy(to, &values, sizeof(float) * unsigned(some));
}

// Calls body(x, some) for each vector of `count` values, the last of which may have but some.
template <int lanes, class Body>
FACECURE_INLINE void by_vectors(std::int64_t count, const Body& body) {
  std::int64_t x = 0;
  for (; x + lanes <= count; x += lanes) body(x, Whole<lanes>());
  if (x < count) body(x, int(count - x));
}

// The same for what may be done twice: all vectors are whole unless there are fewer values than one has.
template <int lanes, class Body>
FACECURE_INLINE void by_whole_vectors(std::int64_t count, const Body& body) {
  if (count < lanes) return body(std::int64_t(0), int(count));
  for (std::int64_t x = 0; x + lanes <= count; x += lanes) body(x, Whole<lanes>());
  if (count % lanes) body(count - lanes, Whole<lanes>());
}

// A copy of half a symmetric window, which no store can change.
template <int Taps>
struct Weights {
  explicit Weights(const float* weights) { std::memcpy(of, weights, sizeof of); }
  float of[Taps / 2 + 1];
};

// Weighted mean of `Taps` values from each of a vector's places on.
template <int lanes, int Taps>
FACECURE_INLINE Floats<lanes> along(const float* row, const Weights<Taps>& weights) {
  return weighted<Taps>([&](int k) FACECURE_INLINE_LAMBDA { return load<lanes>(row + k); }, weights.of);
}

// Weighted means of at least `count` values down the rows that at(k) names, up to whole vectors.
template <int lanes, int Taps, class At>
FACECURE_INLINE void down(const At& at, const Weights<Taps>& weights, int count, float* out) {
  const float* from[Taps];
  for (int k = 0; k < Taps; ++k) from[k] = at(k);
  for (int x = 0; x < count; x += lanes)
    store(out + x, weighted<Taps>([&](int k) FACECURE_INLINE_LAMBDA { return load<lanes>(from[k] + x); }, weights.of));
}

template <class F>
FACECURE_INLINE F square_root(const F& values) {
  F roots;
  for (unsigned i = 0; i < sizeof(F) / sizeof(float); ++i) roots[i] = sqrtf(values[i]);
  return roots;
}
FACECURE_VALUE float square_root(float value) { return sqrtf(value); }

}  // namespace facecure
