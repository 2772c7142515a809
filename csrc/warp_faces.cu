#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "warp_faces_cuda.h"

namespace facecure {
namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// One thread per face pixel. The operations and their order are those of pixel_at in warp_row.cpp, and this file is
// compiled with -fmad=false, so that float64 rounds alike.
__global__ void warp(const DeviceWarp job) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= (long long)job.faces * job.height * job.width) return;
  const int x = int(at % job.width), y = int(at / job.width % job.height);
  const long long face = at / job.width / job.height;
  const double* m = job.matrices + face * 6;
  const unsigned char* picture =
      job.pictures + (job.one_picture ? 0 : face * job.picture_height * job.picture_width * 3);
  const int last_x = job.picture_width - 1, last_y = job.picture_height - 1;
  const double px =
      fmin(fmax(m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2] - 0.5, -2.0), job.picture_width + 1.0);
  const double py =
      fmin(fmax(m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5] - 0.5, -2.0), job.picture_height + 1.0);
  const double left = floor(px), top = floor(py);
  const double fx = px - left, fy = py - top;
  const auto tap = [&](int tx, int ty, int c) -> double {
    if (!job.replicate && (tx < 0 || tx > last_x || ty < 0 || ty > last_y)) return 0.0;
    tx = min(max(tx, 0), last_x);
    ty = min(max(ty, 0), last_y);
    return picture[((long long)ty * job.picture_width + tx) * 3 + c];
  };
  const int x0 = int(left), y0 = int(top);
  for (int c = 0; c < 3; ++c) {
    const double upper = tap(x0, y0, c) * (1.0 - fx) + tap(x0 + 1, y0, c) * fx;
    const double lower = tap(x0, y0 + 1, c) * (1.0 - fx) + tap(x0 + 1, y0 + 1, c) * fx;
    job.out[at * 3 + c] = (unsigned char)(upper * (1.0 - fy) + lower * fy + 0.5);
  }
}

}  // namespace

void warp_faces_cuda(const DeviceWarp& job) {
  const long long pixels = (long long)job.faces * job.height * job.width;
  if (pixels == 0) return;
  constexpr int threads = 256;
  const long long blocks = (pixels + threads - 1) / threads;
  if (blocks > 0x7fffffff) throw std::runtime_error("too many face pixels for one launch");
  warp<<<unsigned(blocks), threads, 0, static_cast<cudaStream_t>(job.stream)>>>(job);
  check(cudaGetLastError(), "launch of warp_faces");
}

}  // namespace facecure
