#include "scan/body.h"

#include "scan/dot.h"

namespace facecure {

void score_scalar(const Tile& tile, Scored& scored) {
  for (int r = 0; r < tile.rows; ++r) {
    std::int32_t* dots = scored.dots + r * panel_lanes;
    std::int32_t sums[panel_lanes] = {};
    for (std::int64_t k = 0; k < tile.size; k += 4) {
      const auto* probes = reinterpret_cast<const std::int8_t*>(tile.probes + k / 4 * panel_lanes);
      const std::int8_t* codes = tile.codes + r * tile.size + k;
      for (int lane = 0; lane < panel_lanes; ++lane)
        for (int i = 0; i < 4; ++i) sums[lane] += probes[4 * lane + i] * codes[i];
    }
    scored.reached[r] = 0;
    for (int lane = 0; lane < panel_lanes; ++lane) {
      dots[lane] = sums[lane];
      const float score = float(sums[lane]) * (tile.probe_scale[lane] * tile.row_scale[r]) - tile.half[r];
      const float upper = score + tile.probe_slope[lane] * tile.row_lost[r];
      scored.reached[r] |= std::uint32_t(upper >= tile.floor[lane]) << lane;
    }
  }
}

float dot_scalar(const float* x, const float* y, std::int64_t size) { return dot_of(x, y, size); }

const std::vector<const ScanBody*>& scan_bodies() {
  static const std::vector<ScanBody> all = [] {
    std::vector<ScanBody> found{{"scalar", 127, 0, nullptr, score_scalar, dot_scalar, nullptr}};
    for (const auto& family : {x86_bodies(), arm_bodies()}) found.insert(found.end(), family.begin(), family.end());
    return found;
  }();
  static const std::vector<const ScanBody*> available = [] {
    std::vector<const ScanBody*> found;
    for (const ScanBody& body : all)
      if (!body.available || body.available()) found.push_back(&body);
    return found;
  }();
  return available;
}

}  // namespace facecure
