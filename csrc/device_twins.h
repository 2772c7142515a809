// What the CUDA twins compute, on the CPU: for tests where there is no device.
#pragma once

#include "dssim.h"
#include "fawkes_step.h"
#include "lowkey_step.h"

namespace facecure {

void dssim_planes_by_tiles(const DssimSource& source, const float* perturbation, double* value, float* gradient);
void fawkes_step_by_tiles(const FawkesStep& job, double* dssim);
void lowkey_step_by_values(const LowKeyStep& job);

}  // namespace facecure
