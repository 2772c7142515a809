// The CUDA twin of fawkes_step: every pointer of a job is to device memory; `threads` and `simd` are not looked at. It
// enqueues its work on the stream, allocates nothing, and throws std::runtime_error where a launch fails.
#pragma once

#include "dssim_planes/cuda.h"
#include "fawkes_step/fawkes_step.h"

namespace facecure {

void fawkes_step_cuda(const FawkesStep& job, const DssimSums& sums, void* stream);

// What that computes, on the CPU: for tests where there is no device.
void fawkes_step_twin(const FawkesStep& job, double* dssim);

}  // namespace facecure
