// The extension module: what it is, and the operations that register themselves from their folders.
#include "scan/body.h"
#include "shared/bindings.h"

namespace facecure {

void bind_warp_faces(py::module_& module);
void bind_normalise_faces(py::module_& module);
void bind_dssim_planes(py::module_& module);
void bind_fawkes_step(py::module_& module);
void bind_lowkey_step(py::module_& module);
void bind_scan(py::module_& module);
void bind_segment_nearest(py::module_& module);
void bind_devices(py::module_& module);

namespace {

const char* simd_name(Simd simd) { return simd_names[std::size_t(simd)].first; }

py::dict build_info() {
  py::dict info;
  info["commit"] = FACECURE_COMMIT;
  info["compiler"] = __VERSION__;
  info["simd"] = simd_name(best_simd());
  info["simd_asked"] = simd_asked();
#ifdef _OPENMP
  info["openmp"] = true;
#else
  info["openmp"] = false;
#endif
  info["scan"] = scan_bodies().back()->name;
#ifdef FACECURE_HAS_CUDA
  info["cuda"] = true;
#else
  info["cuda"] = false;
#endif
  return info;
}

}  // namespace
}  // namespace facecure

PYBIND11_MODULE(_core, module) {
  using namespace facecure;
  best_simd();  // a wrong FACECURE_SIMD is an error at once
  module.def("build_info", &build_info);
  for (const auto bind : {bind_warp_faces, bind_normalise_faces, bind_dssim_planes, bind_fawkes_step, bind_lowkey_step,
                          bind_scan, bind_segment_nearest, bind_devices})
    bind(module);
}
