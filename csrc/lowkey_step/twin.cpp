#include "lowkey_step/cuda.h"
#include "lowkey_step/value.h"

namespace facecure {

void lowkey_step_twin(const LowKeyStep& job) {
  const std::int64_t values = job.count * 3 * job.height * job.width;
  for (std::int64_t at = 0; job.move.by_view && at < values; ++at) move_value(job, at);
  for (std::int64_t at = 0; at < values; ++at) show_value(job, at);
}

}  // namespace facecure
