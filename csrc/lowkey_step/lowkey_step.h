// The half of a LowKey iteration that is not the networks' (docs/protocol.md §6).
#pragma once

#include <cstdint>

#include "shared/simd.h"
#include "shared/view.h"

namespace facecure {

constexpr int smooth_window = 7;

// How pictures move.
struct LowKeyMove {
  const float* by_view;     // gradient of the feature distance with respect to `views`; null: nothing moves
  const float* by_visible;  // gradient of the visible change with respect to the pictures, or null
  float visible_weight;     // of by_visible; the feature distance counts −1
  float step;               // against the sign of the loss's gradient
};

struct LowKeyStep {
  LowKeyMove move;
  float* pictures;  // (pictures, 3, height, width), changed
  // The views of each picture that extractors see, one after the other: plain, smoothed; or with `mirrored` plain,
  // mirrored, smoothed, smoothed and mirrored. (views, pictures, 3, height, width), rewritten for the pictures after
  // the step.
  float* views;
  const float* window;  // (smooth_window), symmetric
  View view;
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
