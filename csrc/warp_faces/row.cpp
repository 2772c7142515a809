#include "warp_faces/row.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace facecure {
namespace {

// Two neighbours of one picture row, bytes R G B R G B from the lowest.
FACECURE_INLINE std::uint64_t pair_at(const Picture& picture, int x, int y, Border border) {
  const int last_x = picture.width - 1, last_y = picture.height - 1;
  const auto pixel = [&](int tx) -> std::uint64_t {
    if (border == Border::black && (tx < 0 || tx > last_x || y < 0 || y > last_y)) return 0;
    const std::uint8_t* p =
        picture.pixels + (std::ptrdiff_t(std::clamp(y, 0, last_y)) * picture.width + std::clamp(tx, 0, last_x)) * 3;
    return p[0] | std::uint64_t(p[1]) << 8 | std::uint64_t(p[2]) << 16;
  };
  return pixel(x) | pixel(x + 1) << 24;
}

// The definition of one pixel, in float64; the order of the operations is that of the numpy twin.
FACECURE_INLINE std::uint32_t pixel_at(const Picture& picture, const double* m, int x, int y, Border border) {
  // Clamping two pixels outside changes no value (everything there is border) and keeps the casts defined.
  const double px = std::clamp(m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2] - 0.5, -2.0, picture.width + 1.0);
  const double py = std::clamp(m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5] - 0.5, -2.0, picture.height + 1.0);
  const double left = std::floor(px), top = std::floor(py);
  const double fx = px - left, fy = py - top;
  const std::uint64_t above = pair_at(picture, int(left), int(top), border);
  const std::uint64_t below = pair_at(picture, int(left), int(top) + 1, border);
  std::uint32_t pixel = 0;
  for (int shift = 0; shift < 24; shift += 8) {
    const double upper = double(above >> shift & 255) * (1.0 - fx) + double(above >> (shift + 24) & 255) * fx;
    const double lower = double(below >> shift & 255) * (1.0 - fx) + double(below >> (shift + 24) & 255) * fx;
    pixel |= std::uint32_t(upper * (1.0 - fy) + lower * fy + 0.5) << shift;
  }
  return pixel;
}

void row_scalar(const Picture& picture, const double* m, int y, int width, Border border, std::uint32_t* pixels) {
  for (int x = 0; x < width; ++x) pixels[x] = pixel_at(picture, m, x, y, border);
}

#ifdef FACECURE_X86

typedef double F64x8 __attribute__((vector_size(64)));
typedef float F32x8 __attribute__((vector_size(32)));
typedef std::int32_t I32x8 __attribute__((vector_size(32)));
typedef std::uint32_t U32x8 __attribute__((vector_size(32)));
typedef std::uint64_t U64x8 __attribute__((vector_size(64)));

FACECURE_INLINE std::uint64_t eight_bytes(const std::uint8_t* p) {
  std::uint64_t bytes;
  std::memcpy(&bytes, p, 8);
  return bytes;
}

FACECURE_INLINE U64x8 load_pairs(const std::uint8_t* p, I32x8 at) {
  return U64x8{eight_bytes(p + at[0]), eight_bytes(p + at[1]), eight_bytes(p + at[2]), eight_bytes(p + at[3]),
               eight_bytes(p + at[4]), eight_bytes(p + at[5]), eight_bytes(p + at[6]), eight_bytes(p + at[7])};
}

// Out of the way of the loop below, whose registers it would take.
__attribute__((noinline)) void pairs_at(const Picture& picture, const std::int32_t x[row_lanes],
                                        const std::int32_t y[row_lanes], Border border,
                                        std::uint64_t pairs[2][row_lanes]) {
  for (int i = 0; i < row_lanes; ++i)
    for (int below = 0; below < 2; ++below) pairs[below][i] = pair_at(picture, x[i], y[i] + below, border);
}

// Whether nothing of the picture is near the pixels between two ends, given where those lie in it.
FACECURE_INLINE bool beyond(double x0, double x1, int width, double y0, double y1, int height) {
  const auto outside = [](double a, double b, int size)
                           FACECURE_INLINE_LAMBDA { return (a < -1 && b < -1) || (a >= size && b >= size); };
  return outside(x0, x1, width) || outside(y0, y1, height);
}

// Coordinates are float64, as in pixel_at. The interpolation is float32 with the error bound
//   each lerp a + f (b - a): f rounded, product rounded, sum rounded: 3 * 2^-17 for values up to 256;
//   the outer one also takes the rounding of its difference: 4 * 2^-17 on top of the inner 3; + 0.5: one more,
// 8 * 2^-17 = 2^-14 together (the float64 value itself is within 2^-40). A sum with 0.5 whose fraction is nearer than
// twice that to an integer could round otherwise in float64: such pixels, few, are computed again by the definition.
// `inner` promises that whole vectors from `from` to `until` have all their taps within the picture.
template <bool inner>
FACECURE_INLINE void part_of_row(const Picture& picture, const double* m, int y, int from, int until, Border border,
                                 std::uint32_t* pixels) {
  constexpr float margin = 0x1p-13f;
  const std::int32_t stride = inner ? picture.width * 3 : 0;
  const double ym = y + 0.5, mx = m[1] * ym, my = m[4] * ym;
  const F64x8 steps = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5};
  I32x8 doubtful = {};

  for (int x = from; x < until; x += row_lanes) {
    const F64x8 xm = steps + double(x);
    F64x8 px = m[0] * xm + mx + m[2] - 0.5, py = m[3] * xm + my + m[5] - 0.5;
    if constexpr (!inner) {
      if (border == Border::black &&
          beyond(px[0], px[row_lanes - 1], picture.width, py[0], py[row_lanes - 1], picture.height)) {
        std::memset(pixels + x, 0, sizeof(std::uint32_t) * row_lanes);
        continue;
      }
      const double right = picture.width + 1.0, bottom = picture.height + 1.0;
      px = px < -2.0 ? F64x8{} - 2.0 : px;
      px = px > right ? F64x8{} + right : px;
      py = py < -2.0 ? F64x8{} - 2.0 : py;
      py = py > bottom ? F64x8{} + bottom : py;
    }
    I32x8 x0 = __builtin_convertvector(px, I32x8), y0 = __builtin_convertvector(py, I32x8);
    F64x8 left = __builtin_convertvector(x0, F64x8), top = __builtin_convertvector(y0, F64x8);
    if constexpr (!inner) {  // the cast truncates; what it raised goes down by one to the floor
      const F64x8 one = F64x8{} + 1.0, zero = {};
      left -= left > px ? one : zero;
      top -= top > py ? one : zero;
      x0 = __builtin_convertvector(left, I32x8);
      y0 = __builtin_convertvector(top, I32x8);
    }
    const F32x8 fx = __builtin_convertvector(px - left, F32x8), fy = __builtin_convertvector(py - top, F32x8);

    U64x8 above, below;
    if constexpr (inner) {
      const I32x8 at = y0 * stride + x0 * 3;
      above = load_pairs(picture.pixels, at);
      below = load_pairs(picture.pixels + stride, at);
    } else {
      std::int32_t columns[row_lanes], rows[row_lanes];
      std::uint64_t pairs[2][row_lanes];
      std::memcpy(columns, &x0, sizeof x0);
      std::memcpy(rows, &y0, sizeof y0);
      pairs_at(picture, columns, rows, border, pairs);
      std::memcpy(&above, pairs[0], sizeof above);
      std::memcpy(&below, pairs[1], sizeof below);
    }
    const I32x8 p00 = __builtin_convertvector(above, I32x8), p01 = __builtin_convertvector(above >> 24, I32x8);
    const I32x8 p10 = __builtin_convertvector(below, I32x8), p11 = __builtin_convertvector(below >> 24, I32x8);
    I32x8 packed = {};
    for (int shift = 0; shift < 24; shift += 8) {
      const F32x8 v00 = __builtin_convertvector(p00 >> shift & 255, F32x8);
      const F32x8 v01 = __builtin_convertvector(p01 >> shift & 255, F32x8);
      const F32x8 v10 = __builtin_convertvector(p10 >> shift & 255, F32x8);
      const F32x8 v11 = __builtin_convertvector(p11 >> shift & 255, F32x8);
      const F32x8 upper = v00 + fx * (v01 - v00), lower = v10 + fx * (v11 - v10);
      const F32x8 value = upper + fy * (lower - upper) + 0.5f;
      const I32x8 whole = __builtin_convertvector(value, I32x8);
      const F32x8 fraction = value - __builtin_convertvector(whole, F32x8);
      packed |= whole << shift | (((fraction < margin) | (fraction > 1.0f - margin)) & 1 << 24);
    }
    doubtful |= packed;
    std::memcpy(pixels + x, &packed, sizeof packed);
  }
  std::int32_t any = 0;
  for (int i = 0; i < row_lanes; ++i) any |= doubtful[i];
  if (any >> 24 == 0) return;
  for (int x = from; x < until; ++x)
    if (pixels[x] >> 24) pixels[x] = pixel_at(picture, m, x, y, border);
}

// Coordinates are monotone along a row, roundings included: between two inner ends all is inner, and what is inner lies
// together.
FACECURE_INLINE void row_vector(const Picture& picture, const double* m, int y, int width, Border border,
                                std::uint32_t* pixels) {
  const double ym = y + 0.5;
  const auto inside = [&](double x) {
    const double px = m[0] * x + m[1] * ym + m[2] - 0.5, py = m[3] * x + m[4] * ym + m[5] - 0.5;
    // two pixels short on the right: eight bytes are read where two pixels are used
    return px >= 0 && px < picture.width - 2 && py >= 0 && py < picture.height - 1;
  };
  int from = 0, until = (width + row_lanes - 1) / row_lanes * row_lanes;  // of what is inner
  const bool offsets_fit = std::int64_t(picture.width) * picture.height <= (1 << 29);
  if (!offsets_fit) until = 0;
  while (from < until && !(inside(from + 0.5) && inside(from + row_lanes - 0.5))) from += row_lanes;
  while (from < until && !(inside(until - row_lanes + 0.5) && inside(until - 0.5))) until -= row_lanes;
  if (from >= until) return part_of_row<false>(picture, m, y, 0, width, border, pixels);
  part_of_row<false>(picture, m, y, 0, from, border, pixels);
  part_of_row<true>(picture, m, y, from, std::min(until, width), border, pixels);
  part_of_row<false>(picture, m, y, until, width, border, pixels);
}

FACECURE_AVX2 void row_avx2(const Picture& picture, const double* m, int y, int width, Border border,
                            std::uint32_t* pixels) {
  row_vector(picture, m, y, width, border, pixels);
}
FACECURE_AVX512 void row_avx512(const Picture& picture, const double* m, int y, int width, Border border,
                                std::uint32_t* pixels) {
  row_vector(picture, m, y, width, border, pixels);
}

#endif

}  // namespace

WarpRow warp_row_for(Simd simd) {
#ifdef FACECURE_X86
  if (simd == Simd::avx512) return row_avx512;
  if (simd == Simd::avx2) return row_avx2;
#endif
  (void)simd;
  return row_scalar;
}

}  // namespace facecure
