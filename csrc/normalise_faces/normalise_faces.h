// Stored faces to the input of a network: one table look-up per value.
#pragma once

#include <cstdint>

#include "warp_faces/warp_faces.h"

namespace facecure {

// Writes float32 (faces, 3, H, W) or (faces, H, W, 3) of uint8 RGB faces (faces, H, W, 3) with `area` = H * W.
void normalise_faces(const std::uint8_t* pixels, std::int64_t faces, std::int64_t area, const Values<float>& values,
                     int threads, float* out);

}  // namespace facecure
