#include "segment_nearest/segment_nearest.h"
#include "shared/bindings.h"

namespace facecure {
namespace {

void require_starts(const Array<std::int64_t>& starts, py::ssize_t first, py::ssize_t last) {
  const auto s = starts.unchecked<1>();
  for (py::ssize_t i = 0; i < s.shape(0); ++i)
    require(s(i) >= first && s(i) <= last && (i == 0 || s(i) >= s(i - 1)), "starts must ascend within the rows");
}

py::tuple nearest_of_segments(const Array<float>& probes, const Array<float>& rows, const Array<std::int64_t>& members,
                              const Array<std::int64_t>& starts, const Array<std::int64_t>& probe,
                              const Array<std::int64_t>& segment, int threads) {
  require(probes.ndim() == 2 && rows.ndim() == 2 && probes.shape(1) == rows.shape(1) && threads > 0,
          "probes and rows must be (N, D), threads positive");
  require(members.ndim() == 1 && starts.ndim() == 1 && starts.shape(0) > 0 && probe.ndim() == 1 &&
              segment.ndim() == 1 && probe.shape(0) == segment.shape(0),
          "members, starts, probe and segment must be one-dimensional, probe as long as segment");
  require_starts(starts, 0, members.shape(0));
  const auto inside = [](const Array<std::int64_t>& values, py::ssize_t limit) {
    const auto v = values.unchecked<1>();
    for (py::ssize_t i = 0; i < v.shape(0); ++i)
      if (v(i) < 0 || v(i) >= limit) return false;
    return true;
  };
  require(inside(members, rows.shape(0)) && inside(probe, probes.shape(0)) && inside(segment, starts.shape(0) - 1),
          "members, probe and segment must be indices into rows, probes and segments");
  Array<double> distance({probe.shape(0), py::ssize_t(2)});
  Array<std::int64_t> row({probe.shape(0), py::ssize_t(2)});
  const SegmentNearest job{probes.data(),  rows.data(),    members.data(),  starts.data(), probe.data(),
                           segment.data(), probe.shape(0), probes.shape(1), threads};
  {
    auto* to = distance.mutable_data();
    auto* at = row.mutable_data();
    py::gil_scoped_release release;
    segment_nearest(job, to, at);
  }
  return py::make_tuple(distance, row);
}

}  // namespace

void bind_segment_nearest(py::module_& module) {
  module.def("segment_nearest", &nearest_of_segments, py::kw_only(), py::arg("probes").noconvert(),
             py::arg("rows").noconvert(), py::arg("members"), py::arg("starts"), py::arg("probe"), py::arg("segment"),
             py::arg("threads"));
}

}  // namespace facecure
