#include "lowkey_step.h"

#include <algorithm>
#include <vector>

#include "filter.h"
#include "lowkey_value.h"

namespace facecure {
namespace {

constexpr int half = smooth_half, edge = smooth_window - 1;

// Scratch of a thread: one plane, filtered along its rows, and a few rows.
struct Scratch {
  explicit Scratch(const LowKeyStep& job)
      : stride(whole_lanes(job.width + 2 * edge) + lanes), plane(std::size_t(job.height * stride)),
        rows(std::size_t(4 * stride)) {}

  float* filtered(int y) { return plane.data() + y * stride; }
  float* row(int number) { return rows.data() + number * stride; }

  std::int64_t stride;
  std::vector<float> plane, rows;
};

// Adds what lies on the border of `padded`, whose middle starts at `half`, to the places that it reflects.
FACECURE_INLINE void fold(const float* padded, int size, float* out) {
  std::copy_n(padded + half, size, out);
  for (int k = 1; k <= half; ++k) {
    out[k] += padded[half - k];
    out[size - 1 - k] += padded[half + size - 1 + k];
  }
}

FACECURE_INLINE void plane(const LowKeyStep& job, std::int64_t picture, int shown, Scratch& scratch) {
  const int width = job.width, height = job.height, channel = job.channels[shown], variants = job.mirrored ? 2 : 1;
  const std::int64_t area = std::int64_t(height) * width, view = job.count * 3 * area;
  const std::int64_t in_view = (picture * 3 + shown) * area, in_picture = (picture * 3 + channel) * area;
  const float mean = job.mean[shown], std = job.std[shown];
  float* const x = job.pictures + in_picture;
  float *const straight = scratch.row(0), *const wide = scratch.row(1), *const summed = scratch.row(2);

  // Row y of the gradient with respect to the plain (0) or smoothed (1) picture.
  const auto gradient = [&](int kind, int y, float* __restrict out) FACECURE_INLINE_LAMBDA {
    const float* __restrict direct = job.by_view + kind * variants * view + in_view + std::int64_t(y) * width;
    for (int i = 0; i < width; ++i) out[i] = direct[i];
    if (job.mirrored) {
      const float* __restrict turned = direct + view;
      for (int i = 0; i < width; ++i) out[i] += turned[width - 1 - i];
    }
    for (int i = 0; i < width; ++i) out[i] /= std;
  };

  if (job.by_view) {
    for (int y = 0; y < height; ++y) {  // the transpose of smoothing along the rows
      std::fill_n(wide, scratch.stride, 0.0f);
      gradient(1, y, wide + edge);
      along<smooth_window>(wide, job.weights, width + 2 * half, summed);
      fold(summed, width, scratch.filtered(y));
    }
    std::fill_n(wide, scratch.stride, 0.0f);
    const auto down = [&](int y, float* out) FACECURE_INLINE_LAMBDA {  // row y of the bordered transpose
      const auto row = [&](int k) FACECURE_INLINE_LAMBDA -> const float* {
        const int from = y - edge + half + k;
        return from < 0 || from >= height ? wide : scratch.filtered(from);
      };
      filter<smooth_window>(row, job.weights, width, out);
    };
    float* const more = scratch.row(3);
    for (int y = 0; y < height; ++y) {
      down(y, summed);
      for (const int border : {-y, 2 * (height - 1) - y}) {  // rows beyond the edge that reflect row y
        if (border == y || border < -half || border >= height + half) continue;
        down(border, more);
        for (int i = 0; i < width; ++i) summed[i] += more[i];
      }
      gradient(0, y, straight);
      float* __restrict to = x + std::int64_t(y) * width;
      const float* visible = job.by_visible ? job.by_visible + in_picture + std::int64_t(y) * width : nullptr;
      for (int i = 0; i < width; ++i) summed[i] = -straight[i] - summed[i];
      if (visible)
        for (int i = 0; i < width; ++i) summed[i] += job.visible_weight * visible[i];
      for (int i = 0; i < width; ++i) to[i] -= job.step * (summed[i] > 0 ? 1.0f : summed[i] < 0 ? -1.0f : 0.0f);
    }
  }

  const auto show = [&](int kind, int y, const float* __restrict from) FACECURE_INLINE_LAMBDA {
    float* __restrict to = job.views + kind * variants * view + in_view + std::int64_t(y) * width;
    for (int i = 0; i < width; ++i) to[i] = (from[i] - mean) / std;
    if (!job.mirrored) return;
    float* __restrict turned = to + view;
    for (int i = 0; i < width; ++i) turned[width - 1 - i] = to[i];
  };
  for (int y = 0; y < height; ++y) {
    const float* from = x + std::int64_t(y) * width;
    show(0, y, from);
    std::copy_n(from, width, wide + half);
    for (int k = 1; k <= half; ++k) wide[half - k] = from[k], wide[half + width - 1 + k] = from[width - 1 - k];
    along<smooth_window>(wide, job.weights, width, scratch.filtered(y));
  }
  for (int y = 0; y < height; ++y) {
    const auto row = [&](int k) FACECURE_INLINE_LAMBDA -> const float* {
      return scratch.filtered(reflected(y - half + k, height));
    };
    filter<smooth_window>(row, job.weights, width, summed);
    show(1, y, summed);
  }
}

void plane_scalar(const LowKeyStep& job, std::int64_t picture, int shown, Scratch& scratch) {
  plane(job, picture, shown, scratch);
}
#ifdef FACECURE_X86
FACECURE_AVX2 void plane_avx2(const LowKeyStep& job, std::int64_t picture, int shown, Scratch& scratch) {
  plane(job, picture, shown, scratch);
}
FACECURE_AVX512 void plane_avx512(const LowKeyStep& job, std::int64_t picture, int shown, Scratch& scratch) {
  plane(job, picture, shown, scratch);
}
#endif

}  // namespace

void lowkey_step(const LowKeyStep& job) {
  const auto one = FACECURE_CHOOSE(job.simd, plane);
#pragma omp parallel num_threads(job.threads)
  {
    Scratch scratch(job);
#pragma omp for schedule(dynamic)
    for (std::int64_t number = 0; number < 3 * job.count; ++number) one(job, number / 3, int(number % 3), scratch);
  }
}

}  // namespace facecure
