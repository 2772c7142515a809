// Faces from decoded pictures: affine warp with bilinear interpolation, optionally fused with normalisation.
#pragma once

#include <cstdint>

#include "simd.h"

namespace facecure {

// What lies outside the picture: black (0, also for the outer tap of a pixel astride the edge),
// or the nearest edge pixel.
enum class Border { black, replicate };

// uint8 RGB, interleaved and contiguous.
struct Picture {
  const std::uint8_t* pixels;
  int height;
  int width;
};

struct WarpFaces {
  const Picture* pictures;  // one per face; may repeat
  const double* matrices;   // (faces, 2, 3): face point -> picture point, both with pixel centres at +0.5
  int faces;
  int height;  // of a face
  int width;
  Border border;
  int threads;
  Simd simd;
};

// Writes faces as uint8 (faces, height, width, 3) RGB: the float64 bilinear value, rounded half up.
void warp_faces(const WarpFaces& job, std::uint8_t* faces);

// Writes faces as float32 (faces, 3, height, width): plane p holds table[p][v] where v is the uint8 value above
// of channel `channels[p]`. Rounding first makes the fused result identical to normalising stored faces.
void warp_faces(const WarpFaces& job, const float table[3][256], const int channels[3], float* faces);

}  // namespace facecure
