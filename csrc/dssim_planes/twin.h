// DSSIM as the CUDA kernel computes it, tile by tile, on the CPU.
#pragma once

#include <memory>

#include "dssim_planes/tile.h"

namespace facecure {

template <class Perturbation>
void dssim_by_tiles(const DssimSource& source, const Perturbation& perturbation, double* value, float* gradient) {
  const auto shared = std::make_unique<DssimTile>();
  for (std::int64_t plane = 0; plane < source.planes; ++plane) {
    value[plane] = 0;
    const auto at = [&](int y, int x) { return perturbation((plane * source.height + y) * source.width + x); };
    for (int y = 0; y < tiles_of(source.height); ++y)
      for (int x = 0; x < tiles_of(source.width); ++x)
        value[plane] += dssim_tile(source, plane, y, x, OneThread{}, *shared, at, gradient);
  }
}

}  // namespace facecure
