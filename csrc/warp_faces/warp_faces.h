// Faces from decoded pictures: affine warp with bilinear interpolation, optionally fused with normalisation.
#pragma once

#include <cstdint>

#include "shared/simd.h"

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

// The order of a face's values in memory.
enum class Layout { nhwc, nchw };

// What is written for plane p: table[p][v], v being the uint8 value of channel `channels[p]`: the float64 bilinear
// value, rounded half up. Rounding first makes the fused result identical to normalising stored faces.
// For T = uint8 neither table nor channels are used: v itself is written, RGB.
template <class T>
struct Values {
  const T (*table)[256];
  int channels[3];
  Layout layout;
};

// Writes all faces in the layout asked for; T is uint8, float or uint16 (the bits of bfloat16).
template <class T>
void warp_faces(const WarpFaces& job, const Values<T>& values, T* faces);

}  // namespace facecure
