// How bindings take what a face's values become.
#pragma once

#include <array>
#include <variant>

#include "shared/bindings.h"
#include "warp_faces/warp_faces.h"

namespace facecure {

// None: uint8. Otherwise float32, or the bits of bfloat16.
using Table = std::variant<py::none, Array<float>, Array<std::uint16_t>>;
using Channels = std::array<int, 3>;

template <class T>
Values<T> values_of(const T (*rows)[256], const Channels& channels, bool planar) {
  for (int channel : channels) require(channel >= 0 && channel < 3, "channels must be 0, 1 or 2");
  return {rows, {channels[0], channels[1], channels[2]}, planar ? Layout::nchw : Layout::nhwc};
}

template <class T>
Values<T> values_of(const Array<T>& table, const Channels& channels, bool planar) {
  require(has_shape(table, {3, 256}), "table must be (3, 256)");
  return values_of(reinterpret_cast<const T(*)[256]>(table.data()), channels, planar);
}

// Returns what write(Values<T>) returns, of the T that the table holds.
template <class Write>
auto with_values(const Table& table, const Channels& channels, bool planar, const Write& write) {
  if (const auto* bits = std::get_if<Array<std::uint16_t>>(&table)) return write(values_of(*bits, channels, planar));
  if (const auto* values = std::get_if<Array<float>>(&table)) return write(values_of(*values, channels, planar));
  return write(values_of<std::uint8_t>(nullptr, channels, planar));
}

}  // namespace facecure
