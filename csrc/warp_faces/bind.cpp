#include <array>
#include <vector>

#include "devices/devices.h"
#include "warp_faces/cuda.h"
#include "warp_faces/values.h"
#include "warp_faces/warp_faces.h"

namespace facecure {
namespace {

py::array warp(const std::vector<Array<std::uint8_t>>& pictures, const Array<double>& matrices, int height, int width,
               bool replicate, const Table& table, const Channels& channels, bool planar, int threads,
               const std::optional<std::string>& simd) {
  const auto faces = py::ssize_t(pictures.size());
  require(matrices.ndim() == 3 && matrices.shape(0) == faces && matrices.shape(1) == 2 && matrices.shape(2) == 3,
          "matrices must be (faces, 2, 3), one per picture");
  require(height > 0 && width > 0 && threads > 0, "height, width and threads must be positive");
  std::vector<Picture> views;
  views.reserve(pictures.size());
  for (const auto& picture : pictures) {
    require(picture.ndim() == 3 && picture.shape(2) == 3 && picture.size() > 0,
            "a picture must be (H, W, 3), H, W > 0");
    views.push_back({picture.data(), int(picture.shape(0)), int(picture.shape(1))});
  }
  const WarpFaces job{views.data(), matrices.data(), int(faces),
                      height,       width,           replicate ? Border::replicate : Border::black,
                      threads,      parse_simd(simd)};
  return with_values(table, channels, planar, [&]<class T>(const Values<T>& values) -> py::array {
    const py::ssize_t n = faces, h = height, w = width;
    Array<T> out(planar ? std::array<py::ssize_t, 4>{n, 3, h, w} : std::array<py::ssize_t, 4>{n, h, w, 3});
    auto* to = out.mutable_data();
    py::gil_scoped_release release;
    warp_faces(job, values, to);
    return out;
  });
}

#ifdef FACECURE_HAS_CUDA
void warp_on_device(std::uintptr_t pictures, std::uintptr_t matrices, std::uintptr_t out, int faces, int picture_height,
                    int picture_width, int height, int width, bool one_picture, bool replicate, const Table& table,
                    const Channels& channels, bool planar, int device, std::uintptr_t stream) {
  const DeviceGuard guard(device);
  const DeviceWarp job{reinterpret_cast<const std::uint8_t*>(pictures),
                       reinterpret_cast<const double*>(matrices),
                       faces,
                       picture_height,
                       picture_width,
                       height,
                       width,
                       one_picture,
                       replicate ? Border::replicate : Border::black,
                       reinterpret_cast<void*>(stream)};
  with_values(table, channels, planar,
              [&]<class T>(const Values<T>& values) { warp_faces_cuda(job, values, reinterpret_cast<T*>(out)); });
}
#endif

}  // namespace

void bind_warp_faces(py::module_& module) {
  module.def("warp_faces", &warp, py::kw_only(), py::arg("pictures"), py::arg("matrices"), py::arg("height"),
             py::arg("width"), py::arg("replicate"), py::arg("table"), py::arg("channels"), py::arg("planar"),
             py::arg("threads"), py::arg("simd"));
#ifdef FACECURE_HAS_CUDA
  module.def("warp_faces_cuda", &warp_on_device, py::kw_only(), py::arg("pictures"), py::arg("matrices"),
             py::arg("out"), py::arg("faces"), py::arg("picture_height"), py::arg("picture_width"), py::arg("height"),
             py::arg("width"), py::arg("one_picture"), py::arg("replicate"), py::arg("table"), py::arg("channels"),
             py::arg("planar"), py::arg("device"), py::arg("stream"));
#endif
}

}  // namespace facecure
