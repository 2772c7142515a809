#include "near_rows.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "simd.h"

#ifdef FACECURE_X86
#include <immintrin.h>
#endif

namespace facecure {

#ifdef FACECURE_X86

#define FACECURE_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

namespace {

constexpr int tile = 12;      // rows at a time: 24 accumulators of 32 registers
constexpr int group = 4;      // panels per task, so that a stretch of rows is read once for 128 probes
constexpr int stretch = 512;  // rows that stay in the second-level cache meanwhile

// A panel's probes as the inner loop sees them. Lanes beyond the last probe never reach an infinite floor.
struct Panel {
  alignas(64) float scale[probe_panel];
  alignas(64) float floor[probe_panel];  // the least score worth a look
  std::int64_t first;

  Panel(const NearRows& job, std::int64_t number) : first(number * probe_panel) {
    for (int lane = 0; lane < probe_panel; ++lane) {
      const bool there = first + lane < job.n;
      scale[lane] = there ? job.probe_scale[first + lane] : 0;
      floor[lane] = there ? job.best[2 * (first + lane) + 1] - job.error[first + lane]
                          : std::numeric_limits<float>::infinity();
    }
  }
};

// A row that is not the best of its label, or not of the two best labels, is neither nearest nor second nearest.
bool reaches(const NearRows& job, const NearRow& hit) {
  const bool first = job.labels && job.labels[hit.row] == job.best_label[hit.probe];
  return hit.score + job.error[hit.probe] >= job.best[2 * hit.probe + (first ? 0 : 1)];
}

// Looks at the lanes of `mask`, whose scores reached the floor of their probes.
__attribute__((noinline)) void look(const NearRows& job, Panel& panel, int base, std::uint32_t mask,
                                    const float* scores, std::int64_t row, std::vector<NearRow>& found) {
  for (; mask; mask &= mask - 1) {
    const int lane = __builtin_ctz(mask);
    const std::int64_t probe = panel.first + base + lane;
    const NearRow hit{std::int32_t(probe), std::int32_t(row), scores[lane]};
    if (job.labels && job.labels[row] == job.own[probe]) continue;
    if (!reaches(job, hit)) continue;
    found.push_back(hit);
    if (!job.labels) continue;
    float* best = job.best + 2 * probe;
    const float lower = hit.score - job.error[probe];
    if (job.labels[row] == job.best_label[probe]) {
      best[0] = std::max(best[0], lower);
    } else if (lower > best[0]) {
      best[1] = best[0], best[0] = lower;
      job.best_label[probe] = job.labels[row];
    } else {
      best[1] = std::max(best[1], lower);
    }
    panel.floor[base + lane] = best[1] - job.error[probe];
  }
}

// Products of `Rows` rows with one panel, summed into dots, (Rows, probe_panel).
template <int Rows>
FACECURE_VNNI void multiply(const std::uint32_t* packed, const std::int8_t* rows, const std::int32_t* sums,
                            std::int64_t size, std::int32_t* dots) {
  __m512i sum[Rows][2];
  // probes carry +128 to be unsigned: Σ (x + 128)·y − 128·Σ y; intermediate overflow wraps and cancels
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm512_set1_epi32(-128 * sums[r]);
  const std::int64_t fours = size / 4;
  const auto* four = reinterpret_cast<const std::int32_t*>(rows);
  for (std::int64_t k = 0; k < fours; ++k) {
    const __m512i left = _mm512_loadu_si512(packed + k * probe_panel);
    const __m512i right = _mm512_loadu_si512(packed + k * probe_panel + 16);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const __m512i codes = _mm512_set1_epi32(four[r * fours + k]);
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], left, codes);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], right, codes);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_si512(dots + r * probe_panel, sum[r][0]);
    _mm512_store_si512(dots + r * probe_panel + 16, sum[r][1]);
  }
}

using Multiply = void (*)(const std::uint32_t*, const std::int8_t*, const std::int32_t*, std::int64_t, std::int32_t*);
constexpr Multiply multiplies[tile + 1] = {nullptr,      multiply<1>, multiply<2>, multiply<3>, multiply<4>,
                                           multiply<5>, multiply<6>, multiply<7>, multiply<8>, multiply<9>,
                                           multiply<10>, multiply<11>, multiply<12>};

// Scores the rows from `row` on, at most a tile, against one panel. The products go through memory: kept in registers
// over the call of `look`, GCC would spill them in the inner loop.
FACECURE_VNNI void score(const NearRows& job, std::int64_t row, int rows, Panel& panel, std::vector<NearRow>& found) {
  alignas(64) std::int32_t dots[tile * probe_panel];
  multiplies[rows](job.probes + panel.first * (job.size / 4), job.rows + row * job.size, job.sums + row, job.size,
                   dots);
  for (int r = 0; r < rows; ++r, ++row) {
    const __m512 scale = _mm512_set1_ps(job.row_scale[row]), half = _mm512_set1_ps(job.half[row]);
    for (int side = 0; side < probe_panel; side += 16) {
      const __m512 both = _mm512_mul_ps(_mm512_load_ps(panel.scale + side), scale);
      const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(dots + r * probe_panel + side));
      const __m512 reached = _mm512_fmsub_ps(dot, both, half);
      const __mmask16 mask = _mm512_cmp_ps_mask(reached, _mm512_load_ps(panel.floor + side), _CMP_GE_OQ);
      if (__builtin_expect(mask, 0)) {
        alignas(64) float scores[16];
        _mm512_store_ps(scores, reached);
        look(job, panel, side, mask, scores, row, found);
      }
    }
  }
}

}  // namespace

bool has_vnni() {
  static const bool has = best_simd() == Simd::avx512 && __builtin_cpu_supports("avx512vnni");
  return has;
}

std::optional<std::vector<std::vector<NearRow>>> near_rows(const NearRows& job) {
  const std::int64_t panels = (job.n + probe_panel - 1) / probe_panel, tasks = (panels + group - 1) / group;
  // a single row always fits
  const auto most = std::size_t(std::max<std::int64_t>(job.most / std::max<std::int64_t>(tasks, 1), group * probe_panel));
  std::vector<std::vector<NearRow>> found(static_cast<std::size_t>(tasks));
  std::atomic<bool> full = false;
#pragma omp parallel for schedule(dynamic) num_threads(job.threads)
  for (std::int64_t task = 0; task < tasks; ++task) {
    auto& hits = found[std::size_t(task)];
    std::vector<Panel> own;
    for (std::int64_t p = task * group; p < std::min(panels, (task + 1) * group); ++p) own.emplace_back(job, p);
    const auto drop = [&] { std::erase_if(hits, [&](const NearRow& hit) { return !reaches(job, hit); }); };
    for (std::int64_t low = 0; low < job.count && !full; low += stretch) {
      const std::int64_t high = std::min(low + stretch, job.count);
      for (Panel& panel : own)
        for (std::int64_t row = low; row < high; row += tile)
          score(job, row, int(std::min<std::int64_t>(tile, high - row)), panel, hits);
      if (hits.size() > most) drop();
      if (hits.size() > most) full = true;
    }
    drop();
  }
  if (full) return std::nullopt;
  return found;
}

#else

bool has_vnni() { return false; }
std::optional<std::vector<std::vector<NearRow>>> near_rows(const NearRows&) { return std::nullopt; }

#endif

}  // namespace facecure
