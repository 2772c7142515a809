// One row of a warped face: the arithmetic of warp_faces, without what becomes of its pixels.
#pragma once

#include <cstdint>

#include "shared/simd.h"
#include "warp_faces/warp_faces.h"

namespace facecure {

// Rows are written in whole vectors: `pixels` below has room for `width` rounded up to a multiple of this.
inline constexpr int row_lanes = 8;

// Writes row y of a face as pixels R | G << 8 | B << 16. `m` is the face's (2, 3) matrix.
using WarpRow = void (*)(const Picture& picture, const double* m, int y, int width, Border border,
                         std::uint32_t* pixels);

// The implementation for an instruction set; all give the same bits.
WarpRow warp_row_for(Simd simd);

}  // namespace facecure
