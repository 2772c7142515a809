#include "warp_faces.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace facecure {
namespace {

// One row of a face, uint8 RGB. The order of the operations is that of the numpy twin (facecure/kernels.py).
FACECURE_INLINE void row_body(const Picture& picture, const double* m, int y, int width, Border border,
                              std::uint8_t* out) {
  const int last_x = picture.width - 1, last_y = picture.height - 1;
  const std::ptrdiff_t stride = std::ptrdiff_t(picture.width) * 3;
  static constexpr std::uint8_t black[3] = {0, 0, 0};
  for (int x = 0; x < width; ++x, out += 3) {
    // Clamping two pixels outside changes no value (everything there is border) and keeps the casts defined.
    const double px = std::clamp(m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2] - 0.5, -2.0, picture.width + 1.0);
    const double py = std::clamp(m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5] - 0.5, -2.0, picture.height + 1.0);
    const double left = std::floor(px), top = std::floor(py);
    const double fx = px - left, fy = py - top;
    const int x0 = int(left), y0 = int(top);

    const std::uint8_t *p00, *p01, *p10, *p11;
    if (x0 >= 0 && x0 < last_x && y0 >= 0 && y0 < last_y) {
      p00 = picture.pixels + y0 * stride + x0 * 3;
      p01 = p00 + 3;
      p10 = p00 + stride;
      p11 = p10 + 3;
    } else {
      const auto tap = [&](int tx, int ty) -> const std::uint8_t* {
        if (border == Border::black && (tx < 0 || tx > last_x || ty < 0 || ty > last_y)) return black;
        return picture.pixels + std::clamp(ty, 0, last_y) * stride + std::clamp(tx, 0, last_x) * 3;
      };
      p00 = tap(x0, y0);
      p01 = tap(x0 + 1, y0);
      p10 = tap(x0, y0 + 1);
      p11 = tap(x0 + 1, y0 + 1);
    }
    for (int c = 0; c < 3; ++c) {
      const double upper = p00[c] * (1.0 - fx) + p01[c] * fx;
      const double lower = p10[c] * (1.0 - fx) + p11[c] * fx;
      out[c] = std::uint8_t(upper * (1.0 - fy) + lower * fy + 0.5);
    }
  }
}

using Row = void (*)(const Picture&, const double*, int, int, Border, std::uint8_t*);

void row_scalar(const Picture& picture, const double* m, int y, int width, Border border, std::uint8_t* out) {
  row_body(picture, m, y, width, border, out);
}
#ifdef FACECURE_X86
FACECURE_AVX2 void row_avx2(const Picture& picture, const double* m, int y, int width, Border border,
                            std::uint8_t* out) {
  row_body(picture, m, y, width, border, out);
}
FACECURE_AVX512 void row_avx512(const Picture& picture, const double* m, int y, int width, Border border,
                                std::uint8_t* out) {
  row_body(picture, m, y, width, border, out);
}
#endif

Row row_for(Simd simd) {
#ifdef FACECURE_X86
  if (simd == Simd::avx512) return row_avx512;
  if (simd == Simd::avx2) return row_avx2;
#endif
  (void)simd;
  return row_scalar;
}

}  // namespace

void warp_faces(const WarpFaces& job, std::uint8_t* faces) {
  const Row row = row_for(job.simd);
  const std::int64_t rows = std::int64_t(job.faces) * job.height;
#pragma omp parallel for schedule(static) num_threads(job.threads)
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t face = i / job.height;
    row(job.pictures[face], job.matrices + face * 6, int(i % job.height), job.width, job.border,
        faces + i * job.width * 3);
  }
}

void warp_faces(const WarpFaces& job, const float table[3][256], const int channels[3], float* faces) {
  const Row row = row_for(job.simd);
  const std::int64_t rows = std::int64_t(job.faces) * job.height;
  const std::int64_t plane = std::int64_t(job.height) * job.width;
#pragma omp parallel num_threads(job.threads)
  {
    std::vector<std::uint8_t> pixels(std::size_t(job.width) * 3);
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t face = i / job.height, y = i % job.height;
      row(job.pictures[face], job.matrices + face * 6, int(y), job.width, job.border, pixels.data());
      for (int p = 0; p < 3; ++p) {
        float* out = faces + (face * 3 + p) * plane + y * job.width;
        for (int x = 0; x < job.width; ++x) out[x] = table[p][pixels[std::size_t(x) * 3 + channels[p]]];
      }
    }
  }
}

}  // namespace facecure
