// Vectors as small integers times one scale each, with the length of what that loses.
#pragma once

#include <cstdint>

#include "shared/simd.h"

namespace facecure {

struct Quantize {
  const float* table;         // (…, width), finite
  const std::int64_t* index;  // (count): where in the table; null: the first ones
  std::int64_t count;
  std::int64_t width;
  std::int64_t size;  // at least width
  int limit;          // at most 127
  int threads;
  Simd simd;
};

struct Quantized {
  std::int8_t* codes;  // (count, size): −limit…limit, the rest zero
  std::int32_t* sums;  // (count): Σ codes
  double* scale;       // (count): largest |value| / limit
  double* square;      // (count): Σ value²
  double* lost;        // (count): Σ (value − scale·code)²
};

// Rounds to nearest even; the same bits whatever the instruction set.
void quantize(const Quantize& job, const Quantized& result);

// The largest |value| of finite values; otherwise infinity or a NaN.
float largest_magnitude(const float* values, std::int64_t count, int threads, Simd simd);

}  // namespace facecure
