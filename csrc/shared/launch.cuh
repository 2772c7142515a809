// What every launch of a CUDA kernel needs.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace facecure {

constexpr int block_threads = 256;

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// Blocks that have a thread for each value.
inline unsigned blocks_for(std::int64_t values) {
  const std::int64_t blocks = (values + block_threads - 1) / block_threads;
  if (blocks > 0x7fffffff) throw std::runtime_error("too many values for one launch");
  return unsigned(blocks);
}

// The value that is this thread's.
__device__ inline std::int64_t value_number() { return std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

}  // namespace facecure
