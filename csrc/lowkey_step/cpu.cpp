#include "lowkey_step/lowkey_step.h"

#include <algorithm>
#include <vector>

#include "lowkey_step/value.h"
#include "shared/bands.h"
#include "shared/filter.h"

namespace facecure {
namespace {

constexpr int half = smooth_half, edge = smooth_window - 1;
constexpr int least = 8 * edge;  // rows of a band

// Rows of scratch of a thread: the last ones filtered along themselves, and a few others.
struct Scratch {
  explicit Scratch(int width)
        : stride(whole_vectors(width + 2 * edge) + most_lanes), rows(std::size_t((smooth_window + 5) * stride)) {}

  float* filtered(int y) { return row(5 + y % smooth_window); }
  float* row(int number) { return rows.data() + number * stride; }

  std::int64_t stride;
  std::vector<float> rows;
};

// Adds what lies on the border of `padded`, whose middle starts at `half`, to the places that it reflects.
FACECURE_INLINE void fold(const float* padded, int size, float* out) {
  std::copy_n(padded + half, size, out);
  for (int k = 1; k <= half; ++k) {
    out[k] += padded[half - k];
    out[size - 1 - k] += padded[half + size - 1 + k];
  }
}

// Of a band of the planes of views.
struct Plane {
  Plane(const LowKeyStep& job, const Band& band)
        : shown(int(band.plane % 3)), variants(job.mirrored ? 2 : 1), area(std::int64_t(job.height) * job.width),
          view(job.count * 3 * area), in_view(band.plane * area),
          in_picture((band.plane - shown + job.view.channels[shown]) * area), mean(job.view.mean[shown]),
          std(job.view.std[shown]) {}

  int shown, variants;
  std::int64_t area, view, in_view, in_picture;
  float mean, std;
};

template <int lanes>
FACECURE_INLINE void filter_row(const float* row, const Weights<smooth_window>& weights, int count, float* out) {
  for (int x = 0; x < count; x += lanes) store(out + x, along<lanes>(row + x, weights));
}

// Steps the pictures.
template <int lanes>
FACECURE_INLINE void move(const LowKeyStep& job, const Band& band, Scratch& scratch) {
  const Plane plane(job, band);
  const int width = job.width, height = job.height;
  const float std = plane.std;
  const Weights<smooth_window> weights(job.window);
  float *const straight = scratch.row(0), *const wide = scratch.row(1), *const summed = scratch.row(2);
  float *const more = scratch.row(3), *const nothing = scratch.row(4);

  // Row y of the gradient with respect to the plain (0) or smoothed (1) picture.
  const auto gradient = [&](int kind, int y, float* __restrict out) FACECURE_INLINE_LAMBDA {
    const float* __restrict direct =
        job.move.by_view + kind * plane.variants * plane.view + plane.in_view + std::int64_t(y) * width;
    if (job.mirrored) {
      const float* __restrict turned = direct + plane.view;
      for (int i = 0; i < width; ++i) out[i] = (direct[i] + turned[width - 1 - i]) / std;
    } else {
      for (int i = 0; i < width; ++i) out[i] = direct[i] / std;
    }
  };
  std::fill_n(wide, scratch.stride, 0.0f);
  for (int y = band.from, read = std::max(0, y - half); y < band.until; ++y) {
    for (; read <= std::min(y + half, height - 1); ++read) {  // the transpose of smoothing along the rows
      gradient(1, read, wide + edge);
      filter_row<lanes>(wide, weights, width + 2 * half, summed);
      fold(summed, width, scratch.filtered(read));
    }
    const auto down_to = [&](int y, float* out) FACECURE_INLINE_LAMBDA {  // row y of the bordered transpose
      const auto row = [&](int k) FACECURE_INLINE_LAMBDA -> const float* {
        const int from = y - half + k;
        return from < 0 || from >= height ? nothing : scratch.filtered(from);
      };
      down<lanes, smooth_window>(row, weights, width, out);
    };
    down_to(y, summed);
    for (const int border : {-y, 2 * (height - 1) - y}) {  // rows beyond the edge that reflect row y
      if (border == y || border < -half || border >= height + half) continue;
      down_to(border, more);
      for (int i = 0; i < width; ++i) summed[i] += more[i];
    }
    gradient(0, y, straight);
    float* __restrict to = job.pictures + plane.in_picture + std::int64_t(y) * width;
    const float* visible =
        job.move.by_visible ? job.move.by_visible + plane.in_picture + std::int64_t(y) * width : nullptr;
    for (int i = 0; i < width; ++i) summed[i] = -straight[i] - summed[i];
    if (visible)
      for (int i = 0; i < width; ++i) summed[i] += job.move.visible_weight * visible[i];
    for (int i = 0; i < width; ++i) to[i] -= job.move.step * (summed[i] > 0 ? 1.0f : summed[i] < 0 ? -1.0f : 0.0f);
  }
}

// Writes the views of the pictures as they now are.
template <int lanes>
FACECURE_INLINE void show(const LowKeyStep& job, const Band& band, Scratch& scratch) {
  const Plane plane(job, band);
  const int width = job.width, height = job.height;
  const float mean = plane.mean, std = plane.std;
  const Weights<smooth_window> weights(job.window);
  float *const wide = scratch.row(1), *const summed = scratch.row(2);
  const float* const x = job.pictures + plane.in_picture;
  const auto write = [&](int kind, int y, const float* __restrict from) FACECURE_INLINE_LAMBDA {
    float* __restrict to = job.views + kind * plane.variants * plane.view + plane.in_view + std::int64_t(y) * width;
    for (int i = 0; i < width; ++i) to[i] = (from[i] - mean) / std;
    if (!job.mirrored) return;
    float* __restrict turned = to + plane.view;
    for (int i = 0; i < width; ++i) turned[width - 1 - i] = to[i];
  };
  for (int y = band.from, read = std::max(0, y - half); y < band.until; ++y) {
    for (; read <= std::min(y + half, height - 1); ++read) {
      const float* from = x + std::int64_t(read) * width;
      std::copy_n(from, width, wide + half);
      for (int k = 1; k <= half; ++k) wide[half - k] = from[k], wide[half + width - 1 + k] = from[width - 1 - k];
      filter_row<lanes>(wide, weights, width, scratch.filtered(read));
    }
    write(0, y, x + std::int64_t(y) * width);
    const auto row = [&](int k) FACECURE_INLINE_LAMBDA -> const float* {
      return scratch.filtered(reflected(y - half + k, height));
    };
    down<lanes, smooth_window>(row, weights, width, summed);
    write(1, y, summed);
  }
}

void move_scalar(const LowKeyStep& job, const Band& band, Scratch& scratch) { move<4>(job, band, scratch); }
void show_scalar(const LowKeyStep& job, const Band& band, Scratch& scratch) { show<4>(job, band, scratch); }
#ifdef FACECURE_X86
FACECURE_AVX2 void move_avx2(const LowKeyStep& job, const Band& band, Scratch& scratch) { move<8>(job, band, scratch); }
FACECURE_AVX2 void show_avx2(const LowKeyStep& job, const Band& band, Scratch& scratch) { show<8>(job, band, scratch); }
FACECURE_AVX512 void move_avx512(const LowKeyStep& job, const Band& band, Scratch& scratch) {
  move<16>(job, band, scratch);
}
FACECURE_AVX512 void show_avx512(const LowKeyStep& job, const Band& band, Scratch& scratch) {
  show<16>(job, band, scratch);
}
#endif

}  // namespace

void lowkey_step(const LowKeyStep& job) {
  const auto one_move = FACECURE_CHOOSE(job.simd, move);
  const auto one_show = FACECURE_CHOOSE(job.simd, show);
  const Bands bands(3 * job.count, job.height, job.threads, least);
  std::vector<Scratch> scratch(std::size_t(bands.threads()), Scratch(job.width));
  bands.each(
      [&](int thread, const Band& band) {
        if (job.move.by_view) one_move(job, band, scratch[std::size_t(thread)]);
      },
      [&](int thread, const Band& band) { one_show(job, band, scratch[std::size_t(thread)]); });
}

}  // namespace facecure
