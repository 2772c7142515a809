// The CUDA twin of warp_faces: uint8 faces from pictures of one size, all in device memory.
#pragma once

#include <cstdint>

namespace facecure {

struct DeviceWarp {
  const std::uint8_t* pictures;  // (faces, picture_height, picture_width, 3), or one where `one_picture`
  const double* matrices;        // (faces, 2, 3)
  std::uint8_t* out;             // (faces, height, width, 3)
  int faces, picture_height, picture_width, height, width;
  bool one_picture, replicate;
  void* stream;
};

// Enqueues the work on the stream and returns; throws std::runtime_error where the launch fails.
void warp_faces_cuda(const DeviceWarp& job);

}  // namespace facecure
