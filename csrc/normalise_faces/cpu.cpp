#include "normalise_faces/normalise_faces.h"

namespace facecure {

void normalise_faces(const std::uint8_t* pixels, std::int64_t faces, std::int64_t area, const Values<float>& values,
                     int threads, float* out) {
  const bool planar = values.layout == Layout::nchw;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t plane = 0; plane < faces * 3; ++plane) {
    const std::int64_t face = plane / 3, p = plane % 3;
    const std::uint8_t* from = pixels + face * area * 3 + values.channels[p];
    const float* table = values.table[p];
    float* to = planar ? out + plane * area : out + face * area * 3 + p;
    const std::int64_t step = planar ? 1 : 3;
    for (std::int64_t i = 0; i < area; ++i) to[i * step] = table[from[i * 3]];
  }
}

}  // namespace facecure
