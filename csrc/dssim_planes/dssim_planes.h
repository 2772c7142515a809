// Structural dissimilarity of a perturbed picture and its gradient, plane by plane (docs/protocol.md §2).
#pragma once

#include <cstdint>

#include "shared/simd.h"

namespace facecure {

constexpr int dssim_window = 11;
inline constexpr float dssim_centre = 128;  // taken off sources: variances do not depend on it, rounding does

// What only the source decides, for `planes` planes of height × width, both at least dssim_window.
struct DssimSource {
  const float* centred;       // s − dssim_centre, (planes, height, width)
  const float* centred_mean;  // of that, over windows: (planes, height − 10, width − 10)
  const float* contrast;      // 2 σs² + c2
  const float* weights;       // (dssim_window), symmetric
  std::int64_t planes;
  int height;
  int width;
};

// For perturbations (planes, height, width), writes per plane the sum over windows of A + B − AB, and the gradient of
// that, which the caller divides by twice the number of windows: A = μd² / (μa² + μs² + c1), B = σd² / (σa² + σs² +
// c2), a = s + d. Rows stream through: a plane needs some seventy rows of scratch, whatever its height. The same bits
// for every instruction set and thread count.
void dssim_planes(const DssimSource& source, const float* perturbation, int threads, Simd simd, double* value,
                  float* gradient);

}  // namespace facecure
