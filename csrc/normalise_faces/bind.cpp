#include "normalise_faces/normalise_faces.h"
#include "warp_faces/values.h"

namespace facecure {
namespace {

void normalise(const Array<std::uint8_t>& pixels, const Array<float>& table, const Channels& channels, bool planar,
               Array<float>& out, int threads) {
  require(pixels.ndim() == 4 && pixels.shape(3) == 3 && threads > 0, "faces must be (N, H, W, 3), threads positive");
  const py::ssize_t n = pixels.shape(0), h = pixels.shape(1), w = pixels.shape(2);
  const std::array<py::ssize_t, 4> wanted =
      planar ? std::array{n, py::ssize_t(3), h, w} : std::array{n, h, w, py::ssize_t(3)};
  require(out.ndim() == 4 && std::equal(wanted.begin(), wanted.end(), out.shape()), "out must have the faces' sides");
  const Values<float> values = values_of(table, channels, planar);
  auto* to = out.mutable_data();
  py::gil_scoped_release release;
  normalise_faces(pixels.data(), n, h * w, values, threads, to);
}

}  // namespace

void bind_normalise_faces(py::module_& module) {
  module.def("normalise_faces", &normalise, py::kw_only(), py::arg("pixels"), py::arg("table"), py::arg("channels"),
             py::arg("planar"), py::arg("out").noconvert(), py::arg("threads"));
}

}  // namespace facecure
