// What one window goes through in DSSIM; the same operations on the CPU and on CUDA devices.
#pragma once

#include "dssim_planes/dssim_planes.h"
#include "shared/value.h"

namespace facecure {

inline constexpr float dssim_c1 = 6.5025f;  // (0.01 · 255)²

// Of floats or of vectors of them.
template <class F>
struct DssimWindow {
  F by_mean, by_variance, by_covariance;  // what the gradient spreads over its pixels, times 1, 2d and s
  F value;                                // A + B − AB
};

// From the means of d, s·d and d² over a window.
template <class F>
FACECURE_VALUE DssimWindow<F> dssim_window_value(F mean_d, F mean_sd, F mean_dd, F centred_mean, F base) {
  const F covariance = mean_sd - centred_mean * mean_d;
  const F variance = mean_dd - mean_d * mean_d;
  const F mean = centred_mean + dssim_centre, mean_a = mean + mean_d;
  const F luminance = mean_a * mean_a + mean * mean + dssim_c1;
  const F contrast = base + 2.0f * covariance + variance;
  const F both = 1.0f / (luminance * contrast), per_luminance = both * contrast, per_contrast = both * luminance;
  const F a = mean_d * mean_d * per_luminance, b = variance * per_contrast;
  const F spread = (1.0f - a) * (1.0f - b) * per_contrast, shared = -2.0f * (1.0f - a) * b * per_contrast;
  return {2.0f * (1.0f - b) * (mean_d - a * mean_a) * per_luminance - 2.0f * mean_d * spread - centred_mean * shared,
          spread, shared, a + b - a * b};
}

}  // namespace facecure
