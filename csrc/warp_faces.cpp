#include "warp_faces.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "warp_row.h"

namespace facecure {
namespace {

// Writes row y of a face, given as pixels R | G << 8 | B << 16; NHWC where `planar` is false.
template <bool planar, class T>
void write_row(const WarpFaces& job, const Values<T>& values, std::int64_t face, int y, const std::uint32_t* pixels,
               T* faces) {
  const std::int64_t start = (face * job.height + y) * job.width * 3;
  for (int p = 0; p < 3; ++p) {
    const int shift = 8 * values.channels[p];
    const auto value = [&](int x) -> T {
      const std::uint32_t level = pixels[x] >> shift & 255;
      if constexpr (std::is_same_v<T, std::uint8_t>)
        return std::uint8_t(level);
      else
        return values.table[p][level];
    };
    T* out = planar ? faces + ((face * 3 + p) * job.height + y) * job.width : faces + start + p;
    for (int x = 0; x < job.width; ++x) out[planar ? x : 3 * x] = value(x);
  }
}

}  // namespace

template <class T>
void warp_faces(const WarpFaces& job, const Values<T>& values, T* faces) {
  const WarpRow row = warp_row_for(job.simd);
  const auto write = values.layout == Layout::nchw ? write_row<true, T> : write_row<false, T>;
  const std::int64_t rows = std::int64_t(job.faces) * job.height;
#pragma omp parallel num_threads(job.threads)
  {
    std::vector<std::uint32_t> pixels(std::size_t(job.width) + row_lanes);
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t face = i / job.height;
      const int y = int(i % job.height);
      row(job.pictures[face], job.matrices + face * 6, y, job.width, job.border, pixels.data());
      write(job, values, face, y, pixels.data(), faces);
    }
  }
}

template void warp_faces(const WarpFaces&, const Values<std::uint8_t>&, std::uint8_t*);
template void warp_faces(const WarpFaces&, const Values<std::uint16_t>&, std::uint16_t*);
template void warp_faces(const WarpFaces&, const Values<float>&, float*);

}  // namespace facecure
