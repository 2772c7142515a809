#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cloak_steps_cuda.h"
#include "dssim_tile.h"
#include "fawkes_value.h"
#include "lowkey_value.h"

namespace facecure {
namespace {

constexpr int threads = 256;

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

unsigned blocks_for(std::int64_t values) {
  const std::int64_t blocks = (values + threads - 1) / threads;
  if (blocks > 0x7fffffff) throw std::runtime_error("too many values for one launch");
  return unsigned(blocks);
}

__device__ std::int64_t value_number() { return std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

struct BlockThread {
  int index, count;
  __device__ void sync() const { __syncthreads(); }
};

struct Given {
  const float* perturbation;
  __device__ float operator()(std::int64_t at) const { return perturbation[at]; }
};

struct OfModifier {
  const float *modifier, *centred;
  float bound, furthest;
  __device__ float operator()(std::int64_t at) const { return bounded(modifier[at], centred[at], bound, furthest); }
};

// One block per tile: x and y number tiles, z planes from `first` on.
template <class Perturbation>
__global__ void dssim_kernel(const DssimSource source, const Perturbation perturbation, std::int64_t first,
                             double* scratch, float* gradient) {
  extern __shared__ unsigned char memory[];
  __shared__ double parts[threads];
  auto& shared = *reinterpret_cast<DssimTile*>(memory);
  const std::int64_t plane = first + blockIdx.z;
  const auto at = [&](int y, int x) { return perturbation((plane * source.height + y) * source.width + x); };
  const BlockThread thread{int(threadIdx.x), int(blockDim.x)};
  parts[threadIdx.x] = dssim_tile(source, plane, blockIdx.y, blockIdx.x, thread, shared, at, gradient);
  for (int stride = threads / 2; stride > 0; stride /= 2) {
    __syncthreads();
    if (threadIdx.x < stride) parts[threadIdx.x] += parts[threadIdx.x + stride];
  }
  if (threadIdx.x == 0) scratch[(plane * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = parts[0];
}

__global__ void sum_kernel(std::int64_t planes, int parts, const double* scratch, double* value) {
  const std::int64_t plane = value_number();
  if (plane >= planes) return;
  double sum = 0;
  for (int i = 0; i < parts; ++i) sum += scratch[plane * parts + i];
  value[plane] = sum;
}

template <class Perturbation>
void enqueue(const DssimSource& source, const Perturbation& perturbation, double* scratch, double* value,
             float* gradient, cudaStream_t stream) {
  if (source.planes == 0) return;
  const auto kernel = dssim_kernel<Perturbation>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(sizeof(DssimTile))),
        "shared memory of dssim");
  constexpr std::int64_t most = 65535;  // of a grid's z
  for (std::int64_t first = 0; first < source.planes; first += most) {
    const auto planes = unsigned(source.planes - first < most ? source.planes - first : most);
    const dim3 grid(unsigned(tiles_of(source.width)), unsigned(tiles_of(source.height)), planes);
    kernel<<<grid, threads, sizeof(DssimTile), stream>>>(source, perturbation, first, scratch, gradient);
    check(cudaGetLastError(), "launch of dssim");
  }
  sum_kernel<<<blocks_for(source.planes), threads, 0, stream>>>(
      source.planes, dssim_scratch(source.height, source.width), scratch, value);
  check(cudaGetLastError(), "launch of dssim's sums");
}

__global__ void fawkes_kernel(FawkesStep job, const FawkesMove move, bool moves) {
  job.move = moves ? &move : nullptr;
  const std::int64_t values = job.source.planes * job.source.height * job.source.width;
  if (value_number() < values) move_value(job, value_number());
}

__global__ void lowkey_move_kernel(const LowKeyStep job, std::int64_t values) {
  if (value_number() < values) move_value(job, value_number());
}

__global__ void lowkey_show_kernel(const LowKeyStep job, std::int64_t values) {
  if (value_number() < values) show_value(job, value_number());
}

}  // namespace

int dssim_scratch(int height, int width) { return tiles_of(height) * tiles_of(width); }

void dssim_planes_cuda(const DssimSource& source, const float* perturbation, double* scratch, double* value,
                       float* gradient, void* stream) {
  enqueue(source, Given{perturbation}, scratch, value, gradient, static_cast<cudaStream_t>(stream));
}

void fawkes_step_cuda(const FawkesStep& job, double* scratch, double* dssim, void* given) {
  const auto stream = static_cast<cudaStream_t>(given);
  const std::int64_t values = job.source.planes * job.source.height * job.source.width;
  if (values == 0) return;
  fawkes_kernel<<<blocks_for(values), threads, 0, stream>>>(job, job.move ? *job.move : FawkesMove{},
                                                            job.move != nullptr);
  check(cudaGetLastError(), "launch of fawkes_step");
  const OfModifier perturbation{job.modifier, job.source.centred, job.bound, job.furthest};
  enqueue(job.source, perturbation, scratch, dssim, job.by_dssim, stream);
}

void lowkey_step_cuda(const LowKeyStep& job, void* given) {
  const auto stream = static_cast<cudaStream_t>(given);
  const std::int64_t values = job.count * 3 * job.height * job.width;
  if (values == 0) return;
  if (job.by_view) {
    lowkey_move_kernel<<<blocks_for(values), threads, 0, stream>>>(job, values);
    check(cudaGetLastError(), "launch of lowkey_step's move");
  }
  lowkey_show_kernel<<<blocks_for(values), threads, 0, stream>>>(job, values);
  check(cudaGetLastError(), "launch of lowkey_step's views");
}

}  // namespace facecure
