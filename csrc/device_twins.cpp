#include "device_twins.h"

#include <memory>

#include "dssim_tile.h"
#include "fawkes_value.h"
#include "lowkey_value.h"

namespace facecure {
namespace {

template <class Perturbation>
void tiles(const DssimSource& source, const Perturbation& perturbation, double* value, float* gradient) {
  const auto shared = std::make_unique<DssimTile>();
  for (std::int64_t plane = 0; plane < source.planes; ++plane) {
    value[plane] = 0;
    const auto at = [&](int y, int x) { return perturbation((plane * source.height + y) * source.width + x); };
    for (int y = 0; y < tiles_of(source.height); ++y)
      for (int x = 0; x < tiles_of(source.width); ++x)
        value[plane] += dssim_tile(source, plane, y, x, OneThread{}, *shared, at, gradient);
  }
}

}  // namespace

void dssim_planes_by_tiles(const DssimSource& source, const float* perturbation, double* value, float* gradient) {
  tiles(source, [&](std::int64_t at) { return perturbation[at]; }, value, gradient);
}

void fawkes_step_by_tiles(const FawkesStep& job, double* dssim) {
  const std::int64_t area = std::int64_t(job.source.height) * job.source.width;
  for (std::int64_t at = 0; at < job.source.planes * area; ++at) move_value(job, at);
  const auto perturbation = [&](std::int64_t at) {
    return bounded(job.modifier[at], job.source.centred[at], job.bound, job.furthest);
  };
  tiles(job.source, perturbation, dssim, job.by_dssim);
}

void lowkey_step_by_values(const LowKeyStep& job) {
  const std::int64_t values = job.count * 3 * job.height * job.width;
  for (std::int64_t at = 0; job.by_view && at < values; ++at) move_value(job, at);
  for (std::int64_t at = 0; at < values; ++at) show_value(job, at);
}

}  // namespace facecure
