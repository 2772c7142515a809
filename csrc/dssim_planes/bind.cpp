#include "devices/devices.h"
#include "dssim_planes/source.h"

namespace facecure {
namespace {

py::tuple dssim(const py::object& perturbation, const py::object& source, int threads,
                const std::optional<std::string>& simd) {
  Arrays arrays;
  const DssimSource job = read_source({arrays, source});
  const Shape shape = shape_of(job);
  const auto* by = arrays.at<const float>("perturbation", perturbation, shape);
  require(threads > 0, "threads must be positive");
  const Choice choice(simd);
  Array<double> value(job.planes);
  Array<float> gradient(shape);
  auto* to_value = value.mutable_data();
  auto* to_gradient = gradient.mutable_data();
  {
    py::gil_scoped_release release;
    choice.device_twin ? dssim_planes_twin(job, by, to_value, to_gradient)
                       : dssim_planes(job, by, threads, choice.simd, to_value, to_gradient);
  }
  return py::make_tuple(value, gradient);
}

#ifdef FACECURE_HAS_CUDA
void dssim_on_device(const py::object& perturbation, const py::object& source, const py::object& sums,
                     const py::object& gradient, const py::object& locate, int device, std::uintptr_t stream) {
  Arrays arrays(locate);
  const DssimSource job = read_source({arrays, source});
  const auto* by = arrays.at<const float>("perturbation", perturbation, shape_of(job));
  auto* to_gradient = arrays.at<float>("gradient", gradient, shape_of(job));
  const DssimSums to_value = read_sums({arrays, sums}, job);
  const DeviceGuard guard(device);
  dssim_planes_cuda(job, by, to_value, to_gradient, reinterpret_cast<void*>(stream));
}
#endif

int tiles(int height, int width) { return tiles_of(height, width); }

}  // namespace

void bind_dssim_planes(py::module_& module) {
  module.def("dssim_planes", &dssim, py::kw_only(), py::arg("perturbation"), py::arg("source"), py::arg("threads"),
             py::arg("simd"));
  module.def("dssim_tiles", &tiles, py::arg("height"), py::arg("width"));
#ifdef FACECURE_HAS_CUDA
  module.def("dssim_planes_cuda", &dssim_on_device, py::kw_only(), py::arg("perturbation"), py::arg("source"),
             py::arg("sums"), py::arg("gradient"), py::arg("locate"), py::arg("device"), py::arg("stream"));
#endif
}

}  // namespace facecure
