// What one window goes through in DSSIM; the same operations on the CPU and on CUDA devices.
#pragma once

#include "dssim.h"
#include "value.h"

namespace facecure {

struct DssimWindow {
  float by_mean, by_variance, by_covariance;  // what the gradient spreads over its pixels, times 1, 2d and s
  float value;                                // A + B − AB
};

// From the means of d, s·d and d² over a window.
FACECURE_VALUE DssimWindow dssim_window_value(float mean_d, float mean_sd, float mean_dd, float centred_mean,
                                              float base, float centre, float c1) {
  const float covariance = mean_sd - centred_mean * mean_d;
  const float variance = mean_dd - mean_d * mean_d;
  const float mean = centred_mean + centre, mean_a = mean + mean_d;
  const float luminance = mean_a * mean_a + mean * mean + c1;
  const float contrast = base + 2 * covariance + variance;
  const float both = 1 / (luminance * contrast), per_luminance = both * contrast, per_contrast = both * luminance;
  const float a = mean_d * mean_d * per_luminance, b = variance * per_contrast;
  const float spread = (1 - a) * (1 - b) * per_contrast, shared = -2 * (1 - a) * b * per_contrast;
  return {2 * (1 - b) * (mean_d - a * mean_a) * per_luminance - 2 * mean_d * spread - centred_mean * shared, spread,
          shared, a + b - a * b};
}

}  // namespace facecure
