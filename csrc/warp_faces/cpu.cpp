#include "warp_faces/warp_faces.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "warp_faces/row.h"

namespace facecure {
namespace {

using Pixels = const std::uint32_t*;  // one row, R | G << 8 | B << 16

// Writes row y of a face in the layout asked for.
template <class T>
void write_row(const WarpFaces& job, const Values<T>& values, std::int64_t face, int y, Pixels pixels, T* faces) {
  const bool planar = values.layout == Layout::nchw;
  for (int p = 0; p < 3; ++p) {
    const int shift = 8 * values.channels[p];
    T* out = planar ? faces + ((face * 3 + p) * job.height + y) * job.width
                    : faces + (face * job.height + y) * job.width * 3 + p;
    const auto write = [&](auto step) {
      for (int x = 0; x < job.width; ++x) {
        const std::uint32_t level = pixels[x] >> shift & 255;
        if constexpr (std::is_same_v<T, std::uint8_t>)
          out[x * step] = std::uint8_t(level);
        else
          out[x * step] = values.table[p][level];
      }
    };
    planar ? write(std::integral_constant<int, 1>()) : write(std::integral_constant<int, 3>());
  }
}

// The same for a row that is already in the order wanted: each store brings a fourth byte, which the next one mends.
void copy_row(const WarpFaces& job, std::int64_t face, int y, Pixels pixels, std::uint8_t* faces) {
  std::uint8_t* out = faces + (face * job.height + y) * job.width * 3;
  for (int x = 0; x + 1 < job.width; ++x, out += 3) std::memcpy(out, pixels + x, 4);
  for (int shift = 0; shift < 24; shift += 8) *out++ = std::uint8_t(pixels[job.width - 1] >> shift);
}

}  // namespace

template <class T>
void warp_faces(const WarpFaces& job, const Values<T>& values, T* faces) {
  const WarpRow row = warp_row_for(job.simd);
  const std::int64_t rows = std::int64_t(job.faces) * job.height;
  const int threads = int(std::clamp<std::int64_t>(rows, 1, job.threads));
  const std::size_t room = std::size_t(job.width) + row_lanes;
  std::vector<std::uint32_t> all(room * std::size_t(threads));  // here, where running out of memory can be caught
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    std::uint32_t* const pixels = all.data() + room * std::size_t(thread);
    for (std::int64_t i = rows * thread / threads; i < rows * (thread + 1) / threads; ++i) {
      const std::int64_t face = i / job.height;
      const int y = int(i % job.height);
      row(job.pictures[face], job.matrices + face * 6, y, job.width, job.border, pixels);
      if constexpr (std::is_same_v<T, std::uint8_t>)
        if (values.layout == Layout::nhwc) {
          copy_row(job, face, y, pixels, faces);
          continue;
        }
      write_row(job, values, face, y, pixels, faces);
    }
  }
}

template void warp_faces(const WarpFaces&, const Values<std::uint8_t>&, std::uint8_t*);
template void warp_faces(const WarpFaces&, const Values<std::uint16_t>&, std::uint16_t*);
template void warp_faces(const WarpFaces&, const Values<float>&, float*);

}  // namespace facecure
