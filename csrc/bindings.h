// What all ways in from Python share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "simd.h"

namespace facecure {

namespace py = pybind11;

// Without forcecast: a dtype that would lose values is an error. One that would not, or another order, is copied,
// except where the argument is noconvert(): always where it is written to.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

inline void require(bool holds, const char* message) {
  if (!holds) throw py::value_error(message);
}

inline Simd parse_simd(const std::optional<std::string>& name) {
  if (!name) return best_simd();
  for (const auto& [known, simd] : simd_names)
    if (*name == known) {
      require(simd <= best_simd(),
              "this CPU does not support the instruction set asked for, or FACECURE_SIMD forbids it");
      return simd;
    }
  throw py::value_error("simd is one of scalar, avx2, avx512");
}

// The entry points of the cloaks.
void bind_cloaks(py::module_& module);

}  // namespace facecure
