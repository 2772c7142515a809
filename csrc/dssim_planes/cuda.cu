#include "dssim_planes/cuda.h"

#include "dssim_planes/tiles.cuh"

namespace facecure {
namespace {

struct Given {
  const float* perturbation;
  __device__ float operator()(std::int64_t at) const { return perturbation[at]; }
};

__global__ void sum_kernel(std::int64_t planes, int parts, const DssimSums sums) {
  const std::int64_t plane = value_number();
  if (plane >= planes) return;
  double sum = 0;
  for (int i = 0; i < parts; ++i) sum += sums.parts[plane * parts + i];
  sums.value[plane] = sum;
}

}  // namespace

void enqueue_sums(std::int64_t planes, int parts, const DssimSums& sums, cudaStream_t stream) {
  sum_kernel<<<blocks_for(planes), block_threads, 0, stream>>>(planes, parts, sums);
  check(cudaGetLastError(), "launch of dssim's sums");
}

void dssim_planes_cuda(const DssimSource& source, const float* perturbation, const DssimSums& sums, float* gradient,
                       void* stream) {
  enqueue_dssim(source, Given{perturbation}, sums, gradient, static_cast<cudaStream_t>(stream));
}

}  // namespace facecure
