// The CUDA twin of dssim_planes: every pointer is to device memory. It enqueues its work on the stream, allocates
// nothing, and throws std::runtime_error where a launch fails.
#pragma once

#include "dssim_planes/dssim_planes.h"

namespace facecure {

// What the sum over a plane needs: its parts, one per tile (see tile.h), and the sum.
struct DssimSums {
  double* parts;  // (planes, tiles)
  double* value;  // (planes)
};

// `sums.value` is summed from the parts in a fixed order.
void dssim_planes_cuda(const DssimSource& source, const float* perturbation, const DssimSums& sums, float* gradient,
                       void* stream);

// What that computes, on the CPU: for tests where there is no device.
void dssim_planes_twin(const DssimSource& source, const float* perturbation, double* value, float* gradient);

}  // namespace facecure
