// The CUDA twin of lowkey_step: every pointer of a job is to device memory; `threads` and `simd` are not looked at. It
// enqueues its work on the stream, allocates nothing, and throws std::runtime_error where a launch fails.
#pragma once

#include "lowkey_step/lowkey_step.h"

namespace facecure {

void lowkey_step_cuda(const LowKeyStep& job, void* stream);

// What that computes, on the CPU: for tests where there is no device.
void lowkey_step_twin(const LowKeyStep& job);

}  // namespace facecure
