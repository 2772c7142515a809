#include "dssim_planes/twin.h"

#include "dssim_planes/cuda.h"

namespace facecure {

void dssim_planes_twin(const DssimSource& source, const float* perturbation, double* value, float* gradient) {
  dssim_by_tiles(source, [&](std::int64_t at) { return perturbation[at]; }, value, gradient);
}

}  // namespace facecure
