// The highest score of each probe in each segment of a gallery, from bfloat16 products summed in float32.
#pragma once

#include <cstdint>

namespace facecure {

struct SegmentBest {
  const std::uint16_t* probes;  // bfloat16 (n, size)
  const std::uint16_t* rows;    // bfloat16 (count, size)
  const float* half;            // (count): |y|²/2, taken off each score
  const std::int64_t* starts;   // (segments): first row of each; the last ends at count
  std::int64_t n;
  std::int64_t count;
  std::int64_t segments;
  std::int64_t size;  // even
  int threads;
};

// Whether this CPU multiplies bfloat16 (AVX512-BF16). Without it segment_best must not be called.
bool has_bf16();

// Writes best, float32 (n, segments).
void segment_best(const SegmentBest& job, float* best);

}  // namespace facecure
