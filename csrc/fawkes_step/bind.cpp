#include "devices/devices.h"
#include "dssim_planes/source.h"
#include "fawkes_step/cuda.h"

namespace facecure {
namespace {

FawkesMove read_move(const Fields& read, const Shape& planes) {
  const Shape pictures{planes[0] / 3};
  FawkesMove move{};
  read(FACECURE_FIELD(move, by_feature), planes);
  read(FACECURE_FIELD(move, dssim_weight), pictures);
  read(FACECURE_FIELD(move, feature_weight), pictures);
  read(FACECURE_FIELD(move, better), pictures);
  read(FACECURE_FIELD(move, rate));
  read(FACECURE_FIELD(move, kick));
  read(FACECURE_FIELD(move, forget));
  read(FACECURE_FIELD(move, frozen));
  return move;
}

FawkesStep read_step(Arrays& arrays, const py::object& planes, const py::object& source, const py::object& move,
                     float bound, float epsilon) {
  FawkesStep job{};
  job.source = read_source({arrays, source});
  require(job.source.planes % 3 == 0, "a picture has three planes");
  const Shape shape = shape_of(job.source);
  const Fields read(arrays, planes);
  read(FACECURE_FIELD(job, modifier), shape);
  read(FACECURE_FIELD(job, squares), shape);
  read(FACECURE_FIELD(job, steps), shape);
  read(FACECURE_FIELD(job, by_dssim), shape);
  read(FACECURE_FIELD(job, pictures), shape);
  read(FACECURE_FIELD(job, best), shape);
  read.optional(FACECURE_FIELD(job, shown), shape);
  job.view = read_view(read.inside("view"));
  if (!move.is_none()) job.move = read_move({arrays, move}, shape);
  job.move.epsilon = epsilon, job.bound = bound;
  return job;
}

Array<double> fawkes(const py::object& planes, const py::object& source, const py::object& move, float bound,
                     float epsilon, int threads, const std::optional<std::string>& simd) {
  Arrays arrays;
  FawkesStep job = read_step(arrays, planes, source, move, bound, epsilon);
  require(threads > 0, "threads must be positive");
  const Choice choice(simd);
  job.threads = threads, job.simd = choice.simd;
  Array<double> value(job.source.planes);
  auto* to = value.mutable_data();
  {
    py::gil_scoped_release release;
    choice.device_twin ? fawkes_step_twin(job, to) : fawkes_step(job, to);
  }
  return value;
}

#ifdef FACECURE_HAS_CUDA
void fawkes_on_device(const py::object& planes, const py::object& source, const py::object& move, float bound,
                      float epsilon, const py::object& sums, const py::object& locate, int device,
                      std::uintptr_t stream) {
  Arrays arrays(locate);
  const FawkesStep job = read_step(arrays, planes, source, move, bound, epsilon);
  const DssimSums to_value = read_sums({arrays, sums}, job.source);
  const DeviceGuard guard(device);
  fawkes_step_cuda(job, to_value, reinterpret_cast<void*>(stream));
}
#endif

}  // namespace

void bind_fawkes_step(py::module_& module) {
  module.def("fawkes_step", &fawkes, py::kw_only(), py::arg("planes"), py::arg("source"), py::arg("move"),
             py::arg("bound"), py::arg("epsilon"), py::arg("threads"), py::arg("simd"));
#ifdef FACECURE_HAS_CUDA
  module.def("fawkes_step_cuda", &fawkes_on_device, py::kw_only(), py::arg("planes"), py::arg("source"),
             py::arg("move"), py::arg("bound"), py::arg("epsilon"), py::arg("sums"), py::arg("locate"),
             py::arg("device"), py::arg("stream"));
#endif
}

}  // namespace facecure
