#include "warp_faces/cuda.h"

#include <algorithm>
#include <type_traits>

#include "shared/launch.cuh"

namespace facecure {
namespace {

// By value, so that the launch carries it; at most 3 of the 4 KiB that every device takes as parameters.
template <class T>
struct Table {
  T value[3][256];
  int channels[3];
  bool planar;
};

// One thread per face pixel. The operations and their order are those of pixel_at in row.cpp, and this file is
// compiled with -fmad=false, so that float64 rounds alike.
template <class T>
__global__ void warp(const DeviceWarp job, const Table<T> given, T* out) {
  __shared__ T table[3][256];  // parameters are slow to read where neighbours want different entries
  if constexpr (!std::is_same_v<T, std::uint8_t>) {
    for (int i = threadIdx.x; i < 3 * 256; i += blockDim.x) table[i / 256][i % 256] = given.value[i / 256][i % 256];
    __syncthreads();
  }
  const long long at = value_number(), area = (long long)job.height * job.width;
  if (at >= job.faces * area) return;
  const int x = int(at % job.width), y = int(at / job.width % job.height);
  const long long face = at / area;
  const double* m = job.matrices + face * 6;
  const unsigned char* picture =
      job.pictures + (job.one_picture ? 0 : face * job.picture_height * job.picture_width * 3);
  const int last_x = job.picture_width - 1, last_y = job.picture_height - 1;
  const double px = fmin(fmax(m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2] - 0.5, -2.0), job.picture_width + 1.0);
  const double py = fmin(fmax(m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5] - 0.5, -2.0), job.picture_height + 1.0);
  const double left = floor(px), top = floor(py);
  const double fx = px - left, fy = py - top;
  const auto tap = [&](int tx, int ty, int c) -> double {
    if (job.border == Border::black && (tx < 0 || tx > last_x || ty < 0 || ty > last_y)) return 0.0;
    tx = min(max(tx, 0), last_x);
    ty = min(max(ty, 0), last_y);
    return picture[((long long)ty * job.picture_width + tx) * 3 + c];
  };
  const int x0 = int(left), y0 = int(top);
  for (int p = 0; p < 3; ++p) {
    const int c = given.channels[p];
    const double upper = tap(x0, y0, c) * (1.0 - fx) + tap(x0 + 1, y0, c) * fx;
    const double lower = tap(x0, y0 + 1, c) * (1.0 - fx) + tap(x0 + 1, y0 + 1, c) * fx;
    const auto level = (unsigned char)(upper * (1.0 - fy) + lower * fy + 0.5);
    T* to = given.planar ? out + (face * 3 + p) * area + (long long)y * job.width + x : out + at * 3 + p;
    if constexpr (std::is_same_v<T, std::uint8_t>)
      *to = level;
    else
      *to = table[p][level];
  }
}

}  // namespace

template <class T>
void warp_faces_cuda(const DeviceWarp& job, const Values<T>& values, T* out) {
  const long long pixels = (long long)job.faces * job.height * job.width;
  if (pixels == 0) return;
  Table<T> table{};
  if (values.table) std::copy_n(&values.table[0][0], 3 * 256, &table.value[0][0]);
  std::copy_n(values.channels, 3, table.channels);
  table.planar = values.layout == Layout::nchw;
  warp<T><<<blocks_for(pixels), block_threads, 0, static_cast<cudaStream_t>(job.stream)>>>(job, table, out);
  check(cudaGetLastError(), "launch of warp_faces");
}

template void warp_faces_cuda(const DeviceWarp&, const Values<std::uint8_t>&, std::uint8_t*);
template void warp_faces_cuda(const DeviceWarp&, const Values<std::uint16_t>&, std::uint16_t*);
template void warp_faces_cuda(const DeviceWarp&, const Values<float>&, float*);

}  // namespace facecure
