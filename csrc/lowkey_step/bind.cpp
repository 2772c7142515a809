#include "devices/devices.h"
#include "lowkey_step/cuda.h"
#include "shared/fields.h"

namespace facecure {
namespace {

LowKeyMove read_move(const Fields& read, const Shape& pictures, const Shape& views) {
  LowKeyMove move{};
  read(FACECURE_FIELD(move, by_view), views);
  read.optional(FACECURE_FIELD(move, by_visible), pictures);
  read(FACECURE_FIELD(move, visible_weight));
  read(FACECURE_FIELD(move, step));
  return move;
}

LowKeyStep read_step(Arrays& arrays, const py::object& planes, const py::object& move) {
  constexpr py::ssize_t half = smooth_window / 2, most = 1 << 24;
  LowKeyStep job{};
  const Fields read(arrays, planes), kind = read.inside("kind");
  const Shape shape = read.shape("pictures");
  require(
      shape.size() == 4 && shape[1] == 3 && std::min(shape[2], shape[3]) > half && std::max(shape[2], shape[3]) < most,
      "pictures must be (N, 3, H, W), H, W > 3");
  job.view = read_view(kind);
  kind(FACECURE_FIELD(job, mirrored));
  const Shape views{job.mirrored ? 4 : 2, shape[0], shape[1], shape[2], shape[3]};
  read(FACECURE_FIELD(job, pictures), shape);
  read(FACECURE_FIELD(job, views), views);
  read(FACECURE_FIELD(job, window), {smooth_window});
  if (!move.is_none()) job.move = read_move({arrays, move}, shape, views);
  job.count = shape[0], job.height = int(shape[2]), job.width = int(shape[3]);
  return job;
}

void lowkey(const py::object& planes, const py::object& move, int threads, const std::optional<std::string>& simd) {
  Arrays arrays;
  LowKeyStep job = read_step(arrays, planes, move);
  require(threads > 0, "threads must be positive");
  const Choice choice(simd);
  job.threads = threads, job.simd = choice.simd;
  py::gil_scoped_release release;
  choice.device_twin ? lowkey_step_twin(job) : lowkey_step(job);
}

#ifdef FACECURE_HAS_CUDA
void lowkey_on_device(const py::object& planes, const py::object& move, const py::object& locate, int device,
                      std::uintptr_t stream) {
  Arrays arrays(locate);
  const LowKeyStep job = read_step(arrays, planes, move);
  const DeviceGuard guard(device);
  lowkey_step_cuda(job, reinterpret_cast<void*>(stream));
}
#endif

}  // namespace

void bind_lowkey_step(py::module_& module) {
  module.def("lowkey_step", &lowkey, py::kw_only(), py::arg("planes"), py::arg("move"), py::arg("threads"),
             py::arg("simd"));
#ifdef FACECURE_HAS_CUDA
  module.def("lowkey_step_cuda", &lowkey_on_device, py::kw_only(), py::arg("planes"), py::arg("move"),
             py::arg("locate"), py::arg("device"), py::arg("stream"));
#endif
}

}  // namespace facecure
