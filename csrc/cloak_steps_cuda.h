// The CUDA twins of dssim_planes, fawkes_step and lowkey_step: every pointer of a job is to device memory, except those
// that are said to be the host's; `threads` and `simd` are not looked at. All enqueue their work on the stream,
// allocate nothing, and throw std::runtime_error where a launch fails.
#pragma once

#include <cstdint>

#include "dssim.h"
#include "fawkes_step.h"
#include "lowkey_step.h"

namespace facecure {

// Doubles of scratch that a plane needs.
int dssim_scratch(int height, int width);

// `scratch` has dssim_scratch values per plane; `value` is summed from it in a fixed order.
void dssim_planes_cuda(const DssimSource& source, const float* perturbation, double* scratch, double* value,
                       float* gradient, void* stream);

// job.move is the host's, what it points to the device's.
void fawkes_step_cuda(const FawkesStep& job, double* scratch, double* dssim, void* stream);

void lowkey_step_cuda(const LowKeyStep& job, void* stream);

}  // namespace facecure
