// What one value goes through in a LowKey step; the same operations on the CPU and on CUDA devices.
#pragma once

#include <cstdint>

#include "lowkey_step/lowkey_step.h"
#include "shared/value.h"

namespace facecure {

constexpr int smooth_half = smooth_window / 2;

// Number `i` of a row or column bordered by its reflection.
FACECURE_VALUE int reflected(int i, int size) { return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i; }

// Sum of what `at` returns for `i` and for the places of the border that reflect it, if any.
template <class At>
FACECURE_VALUE float folded(const At& at, int i, int size) {
  float sum = at(i);
  if (i > 0 && i <= smooth_half) sum += at(-i);
  if (i < size - 1 && i >= size - 1 - smooth_half) sum += at(2 * (size - 1) - i);
  return sum;
}

// The gradient with respect to the plain (0) or smoothed (1) picture at a pixel, from that with respect to its views.
FACECURE_VALUE float by_kind(const LowKeyStep& job, int kind, std::int64_t plane, int shown, int y, int x) {
  const std::int64_t view = job.count * 3 * job.height * job.width, row = (plane * job.height + y) * job.width;
  const float* direct = job.move.by_view + kind * (job.mirrored ? 2 : 1) * view + row;
  const float sum = job.mirrored ? direct[x] + direct[view + job.width - 1 - x] : direct[x];
  return sum / job.view.std[shown];
}

// What a step adds to a pixel; `plane` counts planes of views, `pixel` is its place in `pictures`.
FACECURE_VALUE float moved_by(const LowKeyStep& job, std::int64_t plane, int shown, int y, int x, std::int64_t pixel) {
  const auto along = [&](int row) {  // of the transpose, row by row
    return folded(
        [&](int column) {
          return weighted<smooth_window>(
              [&](int k) {
                const int from = column - smooth_half + k;
                return from < 0 || from >= job.width ? 0.0f : by_kind(job, 1, plane, shown, row, from);
              },
              job.window);
        },
        x, job.width);
  };
  const float smoothed = folded(
      [&](int row) {
        return weighted<smooth_window>(
            [&](int k) {
              const int from = row - smooth_half + k;
              return from < 0 || from >= job.height ? 0.0f : along(from);
            },
            job.window);
      },
      y, job.height);
  float gradient = -by_kind(job, 0, plane, shown, y, x) - smoothed;
  if (job.move.by_visible) gradient += job.move.visible_weight * job.move.by_visible[pixel];
  return -job.move.step * (gradient > 0 ? 1.0f : gradient < 0 ? -1.0f : 0.0f);
}

// The smoothed picture at a pixel; `picture` is its plane of `pictures`.
FACECURE_VALUE float smoothed_at(const LowKeyStep& job, const float* picture, int y, int x) {
  return weighted<smooth_window>(
      [&](int k) {
        const float* row = picture + std::int64_t(reflected(y - smooth_half + k, job.height)) * job.width;
        return weighted<smooth_window>([&](int m) { return row[reflected(x - smooth_half + m, job.width)]; },
                                       job.window);
      },
      job.window);
}

// Writes a value of the plain (0) or smoothed (1) picture into its views.
FACECURE_VALUE void show(const LowKeyStep& job, int kind, std::int64_t plane, int shown, int y, int x, float value) {
  const std::int64_t view = job.count * 3 * job.height * job.width, row = (plane * job.height + y) * job.width;
  float* to = job.views + kind * (job.mirrored ? 2 : 1) * view + row;
  const float normal = (value - job.view.mean[shown]) / job.view.std[shown];
  to[x] = normal;
  if (job.mirrored) to[view + job.width - 1 - x] = normal;
}

// Where value number `at` of all planes of views lies.
struct LowKeyPlace {
  std::int64_t plane, picture_plane;  // among views', and among pictures'
  int shown, y, x;
};

FACECURE_VALUE LowKeyPlace place(const LowKeyStep& job, std::int64_t at) {
  const std::int64_t area = std::int64_t(job.height) * job.width, plane = at / area;
  const int shown = int(plane % 3);
  return {plane, plane - shown + job.view.channels[shown], shown, int(at % area / job.width), int(at % job.width)};
}

FACECURE_VALUE void move_value(const LowKeyStep& job, std::int64_t at) {
  const LowKeyPlace p = place(job, at);
  const std::int64_t pixel = (p.picture_plane * job.height + p.y) * job.width + p.x;
  job.pictures[pixel] += moved_by(job, p.plane, p.shown, p.y, p.x, pixel);
}

// Only when all have moved.
FACECURE_VALUE void show_value(const LowKeyStep& job, std::int64_t at) {
  const LowKeyPlace p = place(job, at);
  const float* picture = job.pictures + p.picture_plane * job.height * job.width;
  show(job, 0, p.plane, p.shown, p.y, p.x, picture[std::int64_t(p.y) * job.width + p.x]);
  show(job, 1, p.plane, p.shown, p.y, p.x, smoothed_at(job, picture, p.y, p.x));
}

}  // namespace facecure
