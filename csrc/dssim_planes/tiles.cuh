// DSSIM of perturbations that are made value by value, on the device: `perturbation(at)` is what value number `at` of
// all planes differs by.
#pragma once

#include "dssim_planes/cuda.h"
#include "dssim_planes/tile.h"
#include "shared/launch.cuh"

namespace facecure {

struct BlockThread {
  int index, count;
  __device__ void sync() const { __syncthreads(); }
};

// One block per tile: x and y number tiles, z planes from `first` on.
template <class Perturbation>
__global__ void dssim_kernel(const DssimSource source, const Perturbation perturbation, std::int64_t first,
                             double* scratch, float* gradient) {
  extern __shared__ unsigned char memory[];
  __shared__ double parts[block_threads];
  auto& shared = *reinterpret_cast<DssimTile*>(memory);
  const std::int64_t plane = first + blockIdx.z;
  const auto at = [&](int y, int x) { return perturbation((plane * source.height + y) * source.width + x); };
  const BlockThread thread{int(threadIdx.x), int(blockDim.x)};
  parts[threadIdx.x] = dssim_tile(source, plane, blockIdx.y, blockIdx.x, thread, shared, at, gradient);
  for (int stride = block_threads / 2; stride > 0; stride /= 2) {
    __syncthreads();
    if (threadIdx.x < stride) parts[threadIdx.x] += parts[threadIdx.x + stride];
  }
  if (threadIdx.x == 0) scratch[(plane * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = parts[0];
}

// Adds up `parts` parts of each plane.
void enqueue_sums(std::int64_t planes, int parts, const DssimSums& sums, cudaStream_t stream);

template <class Perturbation>
void enqueue_dssim(const DssimSource& source, const Perturbation& perturbation, const DssimSums& sums, float* gradient,
                   cudaStream_t stream) {
  if (source.planes == 0) return;
  const auto kernel = dssim_kernel<Perturbation>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(sizeof(DssimTile))),
        "shared memory of dssim");
  constexpr std::int64_t most = 65535;  // of a grid's z
  for (std::int64_t first = 0; first < source.planes; first += most) {
    const auto planes = unsigned(source.planes - first < most ? source.planes - first : most);
    const dim3 grid(unsigned(tiles_of(source.width)), unsigned(tiles_of(source.height)), planes);
    kernel<<<grid, block_threads, sizeof(DssimTile), stream>>>(source, perturbation, first, sums.parts, gradient);
    check(cudaGetLastError(), "launch of dssim");
  }
  enqueue_sums(source.planes, tiles_of(source.height, source.width), sums, stream);
}

}  // namespace facecure
