// The half of a LowKey iteration that is not the networks' (docs/protocol.md §6).
#pragma once

#include <cstdint>

#include "simd.h"

namespace facecure {

constexpr int smooth_window = 7;

struct LowKeyStep {
  // The views of each picture that extractors see, one after the other: plain, smoothed; or with `mirrored` plain,
  // mirrored, smoothed, smoothed and mirrored. (views, pictures, 3, height, width), value (x − mean) / std.
  float* views;             // rewritten for the pictures after the step
  const float* by_view;     // gradient of the feature distance with respect to them, or null: nothing moves
  const float* by_visible;  // gradient of the visible change with respect to the pictures, or null
  float* pictures;          // (pictures, 3, height, width), changed by −step · sign(loss gradient)
  const float* weights;     // (smooth_window), symmetric
  float mean[3], std[3];    // in the order of a view's planes
  int channels[3];          // of the picture, which a view's planes show
  float visible_weight;     // of by_visible; the feature distance counts −1
  float step;
  bool mirrored;
  std::int64_t count;  // pictures
  int height;          // larger than half the window, like width
  int width;
  int threads;
  Simd simd;
};

// Smoothing reflects at the borders, without repeating the edge. The same bits for every instruction set and thread
// count.
void lowkey_step(const LowKeyStep& job);

}  // namespace facecure
