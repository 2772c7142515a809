// What all ways in from Python share. Each operation's is its bind.cpp: checks, releases the GIL, calls. No arithmetic.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>

#include "shared/simd.h"

namespace facecure {

namespace py = pybind11;

// Without forcecast: a dtype that would lose values is an error. One that would not, or another order, is copied,
// except where the argument is noconvert(): always where it is written to.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

inline void require(bool holds, const char* message) {
  if (!holds) throw py::value_error(message);
}

template <class T>
bool has_shape(const Array<T>& array, std::initializer_list<py::ssize_t> shape) {
  return array.ndim() == py::ssize_t(shape.size()) && std::equal(shape.begin(), shape.end(), array.shape());
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

// What runs a cloak's step on the CPU: an instruction set, or with simd="device" the twin of the CUDA kernel.
struct Choice {
  explicit Choice(const std::optional<std::string>& name)
        : device_twin(name == "device"), simd(device_twin ? Simd::scalar : parse_simd(name)) {}

  bool device_twin;
  Simd simd;
};

}  // namespace facecure
