// The CUDA twin of warp_faces: faces from pictures of one size, all in device memory.
#pragma once

#include <cstdint>

#include "warp_faces/warp_faces.h"

namespace facecure {

struct DeviceWarp {
  const std::uint8_t* pictures;  // (faces, picture_height, picture_width, 3), or one where `one_picture`
  const double* matrices;        // (faces, 2, 3)
  int faces, picture_height, picture_width, height, width;
  bool one_picture;
  Border border;
  void* stream;
};

// Enqueues the work on the stream and returns; throws std::runtime_error where the launch fails. `out` is in device
// memory, `values.table` in host memory and free to go on return. T is uint8, float or uint16 (the bits of bfloat16).
template <class T>
void warp_faces_cuda(const DeviceWarp& job, const Values<T>& values, T* out);

}  // namespace facecure
