// Structs filled from Python's dataclasses: each field from the attribute of its name, on the host and on a device.
#pragma once

#include <array>
#include <type_traits>
#include <utility>
#include <vector>

#include "shared/bindings.h"
#include "shared/view.h"

// A field of a struct and its name in Python.
#define FACECURE_FIELD(of, name) (of).name, #name

namespace facecure {

using Shape = std::vector<py::ssize_t>;

template <class T>
constexpr const char* dtype_name = std::is_same_v<T, bool>     ? "bool"
                                   : std::is_same_v<T, float>  ? "float32"
                                   : std::is_same_v<T, double> ? "float64"
                                                               : nullptr;

inline std::string said(const Shape& shape) { return py::str(py::tuple(py::cast(shape))); }

// The arrays of a job, alive as long as this is: numpy's, or on a device those whose address locate(array, shape,
// dtype) returns, which raises where an array does not fit.
class Arrays {
 public:
  Arrays() { held_.reserve(16); }
  explicit Arrays(py::object locate) : locate_(std::move(locate)) {}

  // Where the values lie. What is only read may come in another order, then it is copied; what is written to is never.
  template <class T>
  T* at(const char* name, py::object array, const Shape& shape) {
    using Value = std::remove_const_t<T>;
    if (locate_)
      return reinterpret_cast<T*>(
          locate_(array, py::tuple(py::cast(shape)), dtype_name<Value>).template cast<std::uintptr_t>());
    if (std::is_const_v<T> && !Array<Value>::check_(array)) array = Array<Value>::ensure(array);
    if (!array || !Array<Value>::check_(array) || !(std::is_const_v<T> || array.cast<py::array>().writeable()))
      throw py::type_error(std::string(name) + " must be an array of " + dtype_name<Value> +
                           (std::is_const_v<T> ? "" : ", contiguous and writeable: it is changed in place"));
    auto values = py::reinterpret_steal<py::array>(array.release());
    if (!std::equal(shape.begin(), shape.end(), values.shape(), values.shape() + values.ndim()))
      throw py::value_error(std::string(name) + " must be " + said(shape) + ", not " +
                            said({values.shape(), values.shape() + values.ndim()}));
    auto* const address = const_cast<void*>(values.data());
    held_.push_back(std::move(values));
    return static_cast<T*>(address);
  }

 private:
  py::object locate_;
  std::vector<py::array> held_;
};

// The attributes of a Python object, read into fields: read(FACECURE_FIELD(job, pictures), shape).
class Fields {
 public:
  Fields(Arrays& arrays, py::object of) : arrays_(arrays), of_(std::move(of)) {}

  template <class T>
  void operator()(T*& field, const char* name, const Shape& shape) const {
    field = arrays_.at<T>(name, of_.attr(name), shape);
  }

  // Null for None.
  template <class T>
  void optional(T*& field, const char* name, const Shape& shape) const {
    py::object array = of_.attr(name);
    field = array.is_none() ? nullptr : arrays_.at<T>(name, std::move(array), shape);
  }

  template <class T>
  void operator()(T& field, const char* name) const {
    field = value<T>(name);
  }

  template <class T>
  void operator()(T (&field)[3], const char* name) const {
    const auto values = value<std::array<T, 3>>(name);
    std::copy(values.begin(), values.end(), field);
  }

  // The shape of one of the arrays, which decides those of the others.
  Shape shape(const char* name) const { return of_.attr(name).attr("shape").cast<Shape>(); }

  // The attributes of an attribute.
  Fields inside(const char* name) const { return {arrays_, of_.attr(name)}; }

 private:
  template <class T>
  T value(const char* name) const {
    const py::object given = of_.attr(name);
    py::detail::make_caster<T> caster;
    if (!caster.load(given, true))
      throw py::type_error(std::string(name) + " cannot be " + std::string(py::repr(given)));
    return py::detail::cast_op<T>(caster);
  }

  Arrays& arrays_;
  py::object of_;
};

inline View read_view(const Fields& read) {
  View view;
  read(FACECURE_FIELD(view, mean));
  read(FACECURE_FIELD(view, std));
  read(FACECURE_FIELD(view, channels));
  std::array<int, 3> order{view.channels[0], view.channels[1], view.channels[2]};
  std::sort(order.begin(), order.end());
  require(order == std::array{0, 1, 2}, "channels must be 0, 1 and 2 in any order");
  return view;
}

}  // namespace facecure
