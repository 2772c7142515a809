#include "dssim_planes/twin.h"
#include "fawkes_step/cuda.h"
#include "fawkes_step/value.h"

namespace facecure {

void fawkes_step_twin(const FawkesStep& job, double* dssim) {
  const std::int64_t area = std::int64_t(job.source.height) * job.source.width;
  for (std::int64_t at = 0; at < job.source.planes * area; ++at) move_value(job, at);
  const auto perturbation = [&](std::int64_t at) {
    return bounded(job.modifier[at], job.source.centred[at], job.bound, job.furthest);
  };
  dssim_by_tiles(job.source, perturbation, dssim, job.by_dssim);
}

}  // namespace facecure
