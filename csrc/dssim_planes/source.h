// How bindings take a source of DSSIM, and what sums over its planes.
#pragma once

#include "dssim_planes/cuda.h"
#include "dssim_planes/tile.h"
#include "shared/fields.h"

namespace facecure {

inline DssimSource read_source(const Fields& read) {
  constexpr py::ssize_t window = dssim_window, most = 1 << 24;
  const Shape shape = read.shape("centred");
  require(shape.size() == 3 && std::min(shape[1], shape[2]) >= window && std::max(shape[1], shape[2]) < most,
          "centred must be (P, H, W), H, W ≥ 11");
  const Shape windows{shape[0], shape[1] - window + 1, shape[2] - window + 1};
  DssimSource source{};
  source.planes = shape[0], source.height = int(shape[1]), source.width = int(shape[2]);
  read(FACECURE_FIELD(source, centred), shape);
  read(FACECURE_FIELD(source, centred_mean), windows);
  read(FACECURE_FIELD(source, contrast), windows);
  read(FACECURE_FIELD(source, weights), {window});
  return source;
}

inline Shape shape_of(const DssimSource& source) { return {source.planes, source.height, source.width}; }

inline DssimSums read_sums(const Fields& read, const DssimSource& source) {
  DssimSums sums{};
  read(FACECURE_FIELD(sums, parts), {source.planes, tiles_of(source.height, source.width)});
  read(FACECURE_FIELD(sums, value), {source.planes});
  return sums;
}

}  // namespace facecure
