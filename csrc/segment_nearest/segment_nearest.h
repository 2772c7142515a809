// The two nearest members of a segment by exact distance, for chosen (probe, segment) pairs.
#pragma once

#include <cstdint>

namespace facecure {

struct SegmentNearest {
  const float* probes;          // (n, size)
  const float* rows;            // (count, size)
  const std::int64_t* members;  // row numbers, segment after segment
  const std::int64_t* starts;   // (segments + 1): segment s is members[starts[s]] … members[starts[s + 1] − 1]
  const std::int64_t* probe;    // (pairs)
  const std::int64_t* segment;  // (pairs)
  std::int64_t pairs;
  std::int64_t size;
  int threads;
};

// Writes per pair the nearest and second nearest member: squared float64 distance (pairs, 2), inf without one, and row
// (pairs, 2), −1 without one. The earlier member wins a tie. Σ (x − y)² is summed pairwise as numpy's `sum` does, so
// equal vectors give equal distances and the twin the same bits. Where probe or member are not finite, the first
// distance is NaN and the first row that member.
void segment_nearest(const SegmentNearest& job, double* distance, std::int64_t* row);

}  // namespace facecure
