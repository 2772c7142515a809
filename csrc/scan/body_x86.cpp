#include "scan/body.h"
#include "scan/dot.h"
#include "shared/simd.h"

#ifdef FACECURE_X86
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#define FACECURE_AVXVNNI __attribute__((target("avx2,avxvnni")))
#define FACECURE_AVX512VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#endif

namespace facecure {

#ifdef FACECURE_X86

namespace {

// All products are of a probe's unsigned and a row's signed bytes: Σ (x + offset)·y − offset·Σ y. Sums of 32 bits may
// wrap on the way and come out right.

// Seven-bit codes: two products of 0…127 with −63…63 always fit 16 bits, four such pairs where the row is calm.
template <int Rows, bool Calm>
FACECURE_AVX2 void multiply_avx2(const std::uint32_t* probes, const std::int8_t* codes, const std::int32_t* sums,
                                 std::int64_t size, std::int32_t* dots) {
  constexpr int deep = Calm ? 4 : 2;
  const __m256i ones = _mm256_set1_epi16(1);
  const std::int64_t fours = size / 4;
  const auto* four = reinterpret_cast<const std::int32_t*>(codes);
  __m256i sum[Rows][2];
#pragma GCC unroll 3
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm256_set1_epi32(-64 * sums[r]);
  for (std::int64_t k = 0; k < fours; k += deep) {
    __m256i pairs[Rows][2];
#pragma GCC unroll 4
    for (int j = 0; j < deep; ++j) {
      const auto* at = reinterpret_cast<const __m256i*>(probes + (k + j) * panel_lanes);
      const __m256i left = _mm256_loadu_si256(at), right = _mm256_loadu_si256(at + 1);
#pragma GCC unroll 3
      for (int r = 0; r < Rows; ++r) {
        const __m256i code = _mm256_set1_epi32(four[r * fours + k + j]);
        const __m256i x = _mm256_maddubs_epi16(left, code), y = _mm256_maddubs_epi16(right, code);
        pairs[r][0] = j ? _mm256_add_epi16(pairs[r][0], x) : x;
        pairs[r][1] = j ? _mm256_add_epi16(pairs[r][1], y) : y;
      }
    }
#pragma GCC unroll 3
    for (int r = 0; r < Rows; ++r) {
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(pairs[r][0], ones));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(pairs[r][1], ones));
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < Rows; ++r) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(dots + r * panel_lanes), sum[r][0]);
    _mm256_store_si256(reinterpret_cast<__m256i*>(dots + r * panel_lanes + 8), sum[r][1]);
  }
}

template <int Rows>
FACECURE_AVXVNNI void multiply_avxvnni(const std::uint32_t* probes, const std::int8_t* codes, const std::int32_t* sums,
                                       std::int64_t size, std::int32_t* dots) {
  const std::int64_t fours = size / 4;
  const auto* four = reinterpret_cast<const std::int32_t*>(codes);
  __m256i sum[Rows][2];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm256_set1_epi32(-128 * sums[r]);
  for (std::int64_t k = 0; k < fours; ++k) {
    const auto* at = reinterpret_cast<const __m256i*>(probes + k * panel_lanes);
    const __m256i left = _mm256_loadu_si256(at), right = _mm256_loadu_si256(at + 1);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m256i code = _mm256_set1_epi32(four[r * fours + k]);
      sum[r][0] = _mm256_dpbusd_avx_epi32(sum[r][0], left, code);
      sum[r][1] = _mm256_dpbusd_avx_epi32(sum[r][1], right, code);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(dots + r * panel_lanes), sum[r][0]);
    _mm256_store_si256(reinterpret_cast<__m256i*>(dots + r * panel_lanes + 8), sum[r][1]);
  }
}

template <int Rows>
FACECURE_AVX512VNNI void multiply_avx512vnni(const std::uint32_t* probes, const std::int8_t* codes,
                                             const std::int32_t* sums, std::int64_t size, std::int32_t* dots) {
  const std::int64_t fours = size / 4;
  const auto* four = reinterpret_cast<const std::int32_t*>(codes);
  __m512i sum[Rows][2];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm512_set1_epi32(-128 * sums[r]);
  for (std::int64_t k = 0; k < fours; ++k) {
    const __m512i left = _mm512_loadu_si512(probes + k * panel_lanes);
    const __m512i right = _mm512_loadu_si512(probes + k * panel_lanes + 16);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
      const __m512i code = _mm512_set1_epi32(four[r * fours + k]);
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], left, code);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], right, code);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_si512(dots + r * panel_lanes, sum[r][0]);
    _mm512_store_si512(dots + r * panel_lanes + 16, sum[r][1]);
  }
}

using Multiply = void (*)(const std::uint32_t*, const std::int8_t*, const std::int32_t*, std::int64_t, std::int32_t*);

constexpr Multiply by_avx2[2][4] = {
    {nullptr, multiply_avx2<1, false>, multiply_avx2<2, false>, multiply_avx2<3, false>},
    {nullptr, multiply_avx2<1, true>, multiply_avx2<2, true>, multiply_avx2<3, true>}};
constexpr Multiply by_avxvnni[7] = {nullptr,
                                    multiply_avxvnni<1>,
                                    multiply_avxvnni<2>,
                                    multiply_avxvnni<3>,
                                    multiply_avxvnni<4>,
                                    multiply_avxvnni<5>,
                                    multiply_avxvnni<6>};
constexpr Multiply by_avx512vnni[tile_rows + 1] = {nullptr,
                                                   multiply_avx512vnni<1>,
                                                   multiply_avx512vnni<2>,
                                                   multiply_avx512vnni<3>,
                                                   multiply_avx512vnni<4>,
                                                   multiply_avx512vnni<5>,
                                                   multiply_avx512vnni<6>,
                                                   multiply_avx512vnni<7>,
                                                   multiply_avx512vnni<8>,
                                                   multiply_avx512vnni<9>,
                                                   multiply_avx512vnni<10>,
                                                   multiply_avx512vnni<11>,
                                                   multiply_avx512vnni<12>};

FACECURE_AVX2 void reach_avx2(const Tile& tile, Scored& scored) {
  for (int r = 0; r < tile.rows; ++r) {
    const __m256 scale = _mm256_set1_ps(tile.row_scale[r]), half = _mm256_set1_ps(tile.half[r]);
    const __m256 lost = _mm256_set1_ps(tile.row_lost[r]);
    std::uint32_t reached = 0;
#pragma GCC unroll 4
    for (int lane = 0; lane < panel_lanes; lane += 8) {
      const auto* at = reinterpret_cast<const __m256i*>(scored.dots + r * panel_lanes + lane);
      const __m256 both = _mm256_mul_ps(_mm256_load_ps(tile.probe_scale + lane), scale);
      const __m256 score = _mm256_sub_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_load_si256(at)), both), half);
      const __m256 upper = _mm256_add_ps(score, _mm256_mul_ps(_mm256_load_ps(tile.probe_slope + lane), lost));
      const __m256 there = _mm256_cmp_ps(upper, _mm256_load_ps(tile.floor + lane), _CMP_GE_OQ);
      reached |= std::uint32_t(_mm256_movemask_ps(there)) << lane;
    }
    scored.reached[r] = reached;
  }
}

void score_avx2(const Tile& tile, Scored& scored) {
  for (int r = 0; r < tile.rows; r += 3) {
    const int rows = std::min(3, tile.rows - r);
    const bool calm = std::all_of(tile.calm + r, tile.calm + r + rows, [](std::uint8_t row) { return row; });
    for (int side = 0; side < panel_lanes; side += 16)
      by_avx2[calm][rows](tile.probes + side, tile.codes + r * tile.size, tile.sums + r, tile.size,
                          scored.dots + r * panel_lanes + side);
  }
  reach_avx2(tile, scored);
}

void score_avxvnni(const Tile& tile, Scored& scored) {
  for (int r = 0; r < tile.rows; r += 6) {
    const int rows = std::min(6, tile.rows - r);
    for (int side = 0; side < panel_lanes; side += 16)
      by_avxvnni[rows](tile.probes + side, tile.codes + r * tile.size, tile.sums + r, tile.size,
                       scored.dots + r * panel_lanes + side);
  }
  reach_avx2(tile, scored);
}

// The products go through memory: kept in registers over what follows, GCC would spill them in the inner loop.
FACECURE_AVX512VNNI void score_avx512vnni(const Tile& tile, Scored& scored) {
  by_avx512vnni[tile.rows](tile.probes, tile.codes, tile.sums, tile.size, scored.dots);
  for (int r = 0; r < tile.rows; ++r) {
    const __m512 scale = _mm512_set1_ps(tile.row_scale[r]), half = _mm512_set1_ps(tile.half[r]);
    const __m512 lost = _mm512_set1_ps(tile.row_lost[r]);
    std::uint32_t reached = 0;
#pragma GCC unroll 2
    for (int lane = 0; lane < panel_lanes; lane += 16) {
      const __m512 both = _mm512_mul_ps(_mm512_load_ps(tile.probe_scale + lane), scale);
      const __m512 dot = _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_load_si512(scored.dots + r * panel_lanes + lane));
      const __m512 score = _mm512_fmsub_ps(dot, both, half);
      const __m512 upper = _mm512_fmadd_ps(_mm512_load_ps(tile.probe_slope + lane), lost, score);
      reached |= std::uint32_t(_mm512_cmp_ps_mask(upper, _mm512_load_ps(tile.floor + lane), _CMP_GE_OQ)) << lane;
    }
    scored.reached[r] = reached;
  }
}

// Of every sixteen codes, those of pairs 0, 2, 4, 6 are summed together, and those of 1, 3, 5, 7. With 0 ≤ x + 64 ≤ 127
// no sum of (x + 64)·y leaves 16 bits where the positive y add up to 258 at most, and the negative ones: 127·258 =
// 32,766.
FACECURE_AVX2 bool is_calm_avx2(const std::int8_t* codes, std::int64_t size) {
  const __m128i zero = _mm_setzero_si128(), ones = _mm_set1_epi8(1);
  __m128i most = zero;
  for (std::int64_t k = 0; k < size; k += 16) {
    const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + k));
    for (const __m128i side : {all, _mm_sub_epi8(zero, all)}) {
      __m128i sums = _mm_maddubs_epi16(_mm_max_epi8(side, zero), ones);  // eight pairs
      sums = _mm_add_epi16(sums, _mm_shuffle_epi32(sums, 0x4E));         // with the pair four further on
      sums = _mm_add_epi16(sums, _mm_shuffle_epi32(sums, 0xB1));         // with the pair two further on
      most = _mm_max_epi16(most, sums);
    }
  }
  const __m128i beyond = _mm_cmpgt_epi16(most, _mm_set1_epi16(258));
  return _mm_testz_si128(beyond, beyond);
}

FACECURE_AVX2 float dot_avx2(const float* x, const float* y, std::int64_t size) { return dot_of(x, y, size); }
FACECURE_AVX512 float dot_avx512(const float* x, const float* y, std::int64_t size) { return dot_of(x, y, size); }

bool has_avx2() { return best_simd() >= Simd::avx2; }

// FACECURE_SIMD=avx2 means a processor without.
bool has_avxvnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx2() && std::strcmp(simd_asked(), "avx2") != 0 && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a & 1 << 4);
}

bool has_avx512vnni() { return best_simd() == Simd::avx512 && __builtin_cpu_supports("avx512vnni"); }

}  // namespace

std::vector<ScanBody> x86_bodies() {
  return {{"avx2", 63, 64, has_avx2, score_avx2, dot_avx2, is_calm_avx2},
          {"avxvnni", 127, 128, has_avxvnni, score_avxvnni, dot_avx2, nullptr},
          {"avx512vnni", 127, 128, has_avx512vnni, score_avx512vnni, dot_avx512, nullptr}};
}

#else

std::vector<ScanBody> x86_bodies() { return {}; }

#endif

}  // namespace facecure
