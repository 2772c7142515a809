#include "segment_best.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "simd.h"

#ifdef FACECURE_X86
#include <immintrin.h>
#endif

namespace facecure {

#ifdef FACECURE_X86

#define FACECURE_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace {

constexpr int panel = 32;   // probes side by side in two registers
constexpr int tile = 12;    // rows at a time: 24 accumulators of 32 registers
constexpr int group = 8;    // panels per task, so that a stretch of rows is read once for 256 probes
constexpr int stretch = 256;  // rows that stay in the second-level cache meanwhile

// Scores of `Rows` rows against one panel, and their maximum into the best of each row's segment.
// packed: (size / 2, panel) pairs of bfloat16; best: (segments, panel).
template <int Rows>
FACECURE_BF16 void score_tile(const std::uint32_t* packed, const std::uint16_t* rows, const float* half,
                              const std::int32_t* segment, std::int64_t size, float* best) {
  __m512 sum[Rows][2];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  const std::int64_t pairs = size / 2;
  const auto* pair = reinterpret_cast<const std::int32_t*>(rows);
  for (std::int64_t k = 0; k < pairs; ++k) {
    const __m512bh left = (__m512bh)_mm512_loadu_si512(packed + k * panel);
    const __m512bh right = (__m512bh)_mm512_loadu_si512(packed + k * panel + 16);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
      const __m512bh row = (__m512bh)_mm512_set1_epi32(pair[r * pairs + k]);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], left, row);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], right, row);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
    float* to = best + std::int64_t(segment[r]) * panel;
    const __m512 taken = _mm512_set1_ps(half[r]);
    _mm512_storeu_ps(to, _mm512_max_ps(_mm512_loadu_ps(to), _mm512_sub_ps(sum[r][0], taken)));
    _mm512_storeu_ps(to + 16, _mm512_max_ps(_mm512_loadu_ps(to + 16), _mm512_sub_ps(sum[r][1], taken)));
  }
}

using Score = void (*)(const std::uint32_t*, const std::uint16_t*, const float*, const std::int32_t*, std::int64_t,
                       float*);
constexpr Score score[tile + 1] = {nullptr,       score_tile<1>, score_tile<2>, score_tile<3>, score_tile<4>,
                                   score_tile<5>, score_tile<6>, score_tile<7>, score_tile<8>, score_tile<9>,
                                   score_tile<10>, score_tile<11>, score_tile<12>};

}  // namespace

bool has_bf16() {
  static const bool has = best_simd() == Simd::avx512 && __builtin_cpu_supports("avx512bf16");
  return has;
}

void segment_best(const SegmentBest& job, float* best) {
  std::vector<std::int32_t> segment(std::size_t(job.count));
  for (std::int64_t s = 0; s < job.segments; ++s) {
    const std::int64_t end = s + 1 < job.segments ? job.starts[s + 1] : job.count;
    std::fill(segment.begin() + job.starts[s], segment.begin() + end, std::int32_t(s));
  }
  const std::int64_t pairs = job.size / 2, panels = (job.n + panel - 1) / panel;
  const std::int64_t tasks = (panels + group - 1) / group;
  const auto* probes = reinterpret_cast<const std::uint32_t*>(job.probes);
#pragma omp parallel num_threads(job.threads)
  {
    std::vector<std::uint32_t> packed(std::size_t(group) * pairs * panel);
    std::vector<float> found(std::size_t(group) * job.segments * panel);
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < tasks; ++task) {
      const std::int64_t first = task * group, own = std::min<std::int64_t>(group, panels - first);
      std::fill(found.begin(), found.end(), -std::numeric_limits<float>::infinity());
      for (std::int64_t p = 0; p < own; ++p)
        for (std::int64_t lane = 0; lane < panel; ++lane) {
          // lanes beyond the last probe repeat it; they are not written out
          const std::int64_t probe = std::min((first + p) * panel + lane, job.n - 1);
          for (std::int64_t k = 0; k < pairs; ++k)
            packed[std::size_t((p * pairs + k) * panel + lane)] = probes[probe * pairs + k];
        }
      for (std::int64_t low = 0; low < job.count; low += stretch) {
        const std::int64_t high = std::min(low + stretch, job.count);
        for (std::int64_t p = 0; p < own; ++p)
          for (std::int64_t row = low; row < high; row += tile)
            score[std::min<std::int64_t>(tile, high - row)](
                packed.data() + p * pairs * panel, job.rows + row * job.size, job.half + row, segment.data() + row,
                job.size, found.data() + p * job.segments * panel);
      }
      for (std::int64_t p = 0; p < own; ++p)
        for (std::int64_t lane = 0; lane < panel && (first + p) * panel + lane < job.n; ++lane)
          for (std::int64_t s = 0; s < job.segments; ++s)
            best[((first + p) * panel + lane) * job.segments + s] =
                found[std::size_t((p * job.segments + s) * panel + lane)];
    }
  }
}

#else

bool has_bf16() { return false; }
void segment_best(const SegmentBest&, float*) {}

#endif

}  // namespace facecure
