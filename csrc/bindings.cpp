// Python's way in: checks, releases the GIL, calls. No arithmetic.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "devices.h"
#include "simd.h"
#include "warp_faces.h"

namespace py = pybind11;
using namespace facecure;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // no forcecast: another dtype is an error, not a copy

void require(bool holds, const char* message) {
  if (!holds) throw py::value_error(message);
}

const std::vector<std::pair<const char*, Simd>> simd_names = {
    {"scalar", Simd::scalar}, {"avx2", Simd::avx2}, {"avx512", Simd::avx512}};

Simd parse_simd(const std::optional<std::string>& name) {
  if (!name) return best_simd();
  for (const auto& [known, simd] : simd_names)
    if (*name == known) {
      require(simd <= best_simd(), "this CPU does not support the instruction set asked for");
      return simd;
    }
  throw py::value_error("simd is one of scalar, avx2, avx512");
}

const char* simd_name(Simd simd) { return simd_names[std::size_t(simd)].first; }

py::array warp(const std::vector<Array<std::uint8_t>>& pictures, const Array<double>& matrices, int height, int width,
               bool replicate, const std::optional<Array<float>>& table, const std::array<int, 3>& channels,
               int threads, const std::optional<std::string>& simd) {
  const auto faces = py::ssize_t(pictures.size());
  require(matrices.ndim() == 3 && matrices.shape(0) == faces && matrices.shape(1) == 2 && matrices.shape(2) == 3,
          "matrices must be (faces, 2, 3), one per picture");
  require(height > 0 && width > 0 && threads > 0, "height, width and threads must be positive");
  for (int channel : channels) require(channel >= 0 && channel < 3, "channels must be 0, 1 or 2");
  if (table) require(table->ndim() == 2 && table->shape(0) == 3 && table->shape(1) == 256, "table must be (3, 256)");
  std::vector<Picture> views;
  views.reserve(pictures.size());
  for (const auto& picture : pictures) {
    require(picture.ndim() == 3 && picture.shape(2) == 3 && picture.size() > 0, "a picture must be (H, W, 3), H, W > 0");
    views.push_back({picture.data(), int(picture.shape(0)), int(picture.shape(1))});
  }
  const WarpFaces job{views.data(), matrices.data(), int(faces), height, width,
                      replicate ? Border::replicate : Border::black, threads, parse_simd(simd)};
  if (!table) {
    Array<std::uint8_t> out({faces, py::ssize_t(height), py::ssize_t(width), py::ssize_t(3)});
    auto* pixels = out.mutable_data();
    py::gil_scoped_release release;
    warp_faces(job, pixels);
    return out;
  }
  Array<float> out({faces, py::ssize_t(3), py::ssize_t(height), py::ssize_t(width)});
  auto* values = out.mutable_data();
  const auto* rows = reinterpret_cast<const float(*)[256]>(table->data());
  py::gil_scoped_release release;
  warp_faces(job, rows, channels.data(), values);
  return out;
}

py::dict build_info() {
  py::dict info;
  info["commit"] = FACECURE_COMMIT;
  info["compiler"] = __VERSION__;
  info["simd"] = simd_name(best_simd());
#ifdef FACECURE_HAS_CUDA
  info["cuda"] = true;
  info["cuda_devices"] = cuda_devices();
#else
  info["cuda"] = false;
  info["cuda_devices"] = 0;
#endif
  return info;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.def("warp_faces", &warp, py::kw_only(), py::arg("pictures"), py::arg("matrices"), py::arg("height"),
             py::arg("width"), py::arg("replicate"), py::arg("table"), py::arg("channels"), py::arg("threads"),
             py::arg("simd"));
  module.def("build_info", &build_info);
}
