#include "scan/body.h"
#include "shared/simd.h"

// Apple's compilers have dot products on; Linux's are told for these functions, and the kernel says whether they run.
#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define FACECURE_DOTPROD
#elif defined(__aarch64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FACECURE_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#elif defined(__aarch64__) && defined(__linux__) && defined(__clang__) && __clang_major__ >= 16
#define FACECURE_DOTPROD __attribute__((target("dotprod")))
#endif

#ifdef FACECURE_DOTPROD
#include <arm_neon.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cstring>
#endif

namespace facecure {

#ifdef FACECURE_DOTPROD

namespace {

// Products of `Rows` rows with sixteen probes; signed with signed, so nothing is taken off.
template <int Rows>
FACECURE_DOTPROD void multiply_neon(const std::uint32_t* probes, const std::int8_t* codes, std::int64_t size,
                                    std::int32_t* dots) {
  int32x4_t sum[Rows][4];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) sum[r][q] = vdupq_n_s32(0);
  const auto* at = reinterpret_cast<const std::int8_t*>(probes);
  for (std::int64_t k = 0; k < size; k += 16, at += 16 * panel_lanes) {
    int8x16_t code[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) code[r] = vld1q_s8(codes + r * size + k);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int8x16_t first = vld1q_s8(at + 16 * q), second = vld1q_s8(at + 4 * panel_lanes + 16 * q);
      const int8x16_t third = vld1q_s8(at + 8 * panel_lanes + 16 * q), last = vld1q_s8(at + 12 * panel_lanes + 16 * q);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        sum[r][q] = vdotq_laneq_s32(sum[r][q], first, code[r], 0);
        sum[r][q] = vdotq_laneq_s32(sum[r][q], second, code[r], 1);
        sum[r][q] = vdotq_laneq_s32(sum[r][q], third, code[r], 2);
        sum[r][q] = vdotq_laneq_s32(sum[r][q], last, code[r], 3);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) vst1q_s32(dots + r * panel_lanes + 4 * q, sum[r][q]);
}

using Multiply = void (*)(const std::uint32_t*, const std::int8_t*, std::int64_t, std::int32_t*);
constexpr Multiply by_neon[5] = {nullptr, multiply_neon<1>, multiply_neon<2>, multiply_neon<3>, multiply_neon<4>};

void score_neon(const Tile& tile, Scored& scored) {
  for (int r = 0; r < tile.rows; r += 4)
    for (int side = 0; side < panel_lanes; side += 16)
      by_neon[std::min(4, tile.rows - r)](tile.probes + side, tile.codes + r * tile.size, tile.size,
                                          scored.dots + r * panel_lanes + side);
  const uint32x4_t bits{1, 2, 4, 8};
  for (int r = 0; r < tile.rows; ++r) {
    scored.reached[r] = 0;
    for (int lane = 0; lane < panel_lanes; lane += 4) {
      const float32x4_t both = vmulq_n_f32(vld1q_f32(tile.probe_scale + lane), tile.row_scale[r]);
      const float32x4_t dot = vcvtq_f32_s32(vld1q_s32(scored.dots + r * panel_lanes + lane));
      const float32x4_t score = vsubq_f32(vmulq_f32(dot, both), vdupq_n_f32(tile.half[r]));
      const float32x4_t upper = vaddq_f32(score, vmulq_n_f32(vld1q_f32(tile.probe_slope + lane), tile.row_lost[r]));
      const uint32x4_t there = vcgeq_f32(upper, vld1q_f32(tile.floor + lane));
      scored.reached[r] |= vaddvq_u32(vandq_u32(there, bits)) << lane;
    }
  }
}

bool has_dotprod() {
  if (std::strcmp(simd_asked(), "scalar") == 0) return false;
#ifdef __linux__
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return true;
#endif
}

}  // namespace

std::vector<ScanBody> arm_bodies() { return {{"neon", 127, 0, has_dotprod, score_neon, dot_scalar, nullptr}}; }

#else

std::vector<ScanBody> arm_bodies() { return {}; }

#endif

}  // namespace facecure
