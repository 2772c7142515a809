#include "lowkey_step/cuda.h"

#include "lowkey_step/value.h"
#include "shared/launch.cuh"

namespace facecure {
namespace {

__global__ void move_kernel(const LowKeyStep job, std::int64_t values) {
  if (value_number() < values) move_value(job, value_number());
}

__global__ void show_kernel(const LowKeyStep job, std::int64_t values) {
  if (value_number() < values) show_value(job, value_number());
}

}  // namespace

void lowkey_step_cuda(const LowKeyStep& job, void* given) {
  const auto stream = static_cast<cudaStream_t>(given);
  const std::int64_t values = job.count * 3 * job.height * job.width;
  if (values == 0) return;
  if (job.move.by_view) {
    move_kernel<<<blocks_for(values), block_threads, 0, stream>>>(job, values);
    check(cudaGetLastError(), "launch of lowkey_step's move");
  }
  show_kernel<<<blocks_for(values), block_threads, 0, stream>>>(job, values);
  check(cudaGetLastError(), "launch of lowkey_step's views");
}

}  // namespace facecure
