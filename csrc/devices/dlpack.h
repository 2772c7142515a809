// What of the DLPack exchange structure is read here: https://dmlc.github.io/dlpack/latest/c_api.html (version 0).
#pragma once

#include <cstdint>

namespace facecure {

struct DLTensor {
  void* data;
  std::int32_t device_type;  // 1 CPU, 2 CUDA
  std::int32_t device_id;
  std::int32_t ndim;
  std::uint8_t code;  // of the type: 0 int, 1 unsigned, 2 float, 4 bfloat
  std::uint8_t bits;
  std::uint16_t lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null where contiguous
  std::uint64_t byte_offset;
};

}  // namespace facecure
