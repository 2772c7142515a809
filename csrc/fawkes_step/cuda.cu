#include "fawkes_step/cuda.h"

#include "dssim_planes/tiles.cuh"
#include "fawkes_step/value.h"

namespace facecure {
namespace {

struct OfModifier {
  const float *modifier, *centred;
  float bound, furthest;
  __device__ float operator()(std::int64_t at) const { return bounded(modifier[at], centred[at], bound, furthest); }
};

__global__ void move_kernel(const FawkesStep job, std::int64_t values) {
  if (value_number() < values) move_value(job, value_number());
}

}  // namespace

void fawkes_step_cuda(const FawkesStep& job, const DssimSums& sums, void* given) {
  const auto stream = static_cast<cudaStream_t>(given);
  const std::int64_t values = job.source.planes * job.source.height * job.source.width;
  if (values == 0) return;
  move_kernel<<<blocks_for(values), block_threads, 0, stream>>>(job, values);
  check(cudaGetLastError(), "launch of fawkes_step");
  const OfModifier perturbation{job.modifier, job.source.centred, job.bound, job.furthest};
  enqueue_dssim(job.source, perturbation, sums, job.by_dssim, stream);
}

}  // namespace facecure
