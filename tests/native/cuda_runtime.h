// A CUDA runtime on the CPU, as far as csrc uses it: a real thread for each thread of a block, one block after the
// other. What a device refuses is refused: blocks, grids and shared memory beyond its limits. test_cuda_on_cpu.py turns
// the language's two own constructs, launches and `extern __shared__`, into the C++ at the end of this file.
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static  // blocks come one after the other, so they may share it too

using std::max;
using std::min;

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorInvalidConfiguration };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
using cudaStream_t = void*;

namespace cuda_on_cpu {

// Of every device since sm_80; the second number of bytes is for kernels that asked by cudaFuncSetAttribute.
constexpr unsigned most_threads = 1024, most_blocks = 65535;
constexpr std::size_t shared_memory = 48 << 10, shared_memory_on_request = 163 << 10;

struct Unaligned {
  void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t(16)); }
};

// What the threads of a launch have in common.
inline dim3 grid, block;
inline std::unique_ptr<std::byte, Unaligned> dynamic;
inline std::unique_ptr<std::barrier<>> barrier;
inline std::map<const void*, std::size_t> on_request;  // by kernel
inline cudaError_t last = cudaSuccess;
inline thread_local dim3 block_index, thread_index;

inline cudaError_t failed(cudaError_t error) { return last = error; }

}  // namespace cuda_on_cpu

#define gridDim cuda_on_cpu::grid
#define blockDim cuda_on_cpu::block
#define blockIdx cuda_on_cpu::block_index
#define threadIdx cuda_on_cpu::thread_index

inline void __syncthreads() { cuda_on_cpu::barrier->arrive_and_wait(); }

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess             ? "no error"
         : error == cudaErrorInvalidValue ? "invalid argument"
                                          : "invalid configuration";
}

inline cudaError_t cudaGetLastError() { return std::exchange(cuda_on_cpu::last, cudaSuccess); }

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  using namespace cuda_on_cpu;
  if (bytes < 0 || std::size_t(bytes) > shared_memory_on_request) return failed(cudaErrorInvalidValue);
  on_request[reinterpret_cast<const void*>(kernel)] = std::size_t(bytes);
  return cudaSuccess;
}

namespace cuda_on_cpu {

// kernel<<<grid, block, shared, stream>>>(arguments) is Launch(kernel, grid, block, shared, stream)(arguments).
template <class... Parameters>
class Launch {
 public:
  Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared = 0, cudaStream_t = nullptr)
        : kernel_(kernel), grid_(grid), block_(block), shared_(shared) {}

  void operator()(Parameters... arguments) const {
    const auto asked = on_request.find(reinterpret_cast<const void*>(kernel_));
    const std::size_t threads = std::size_t(block_.x) * block_.y * block_.z;
    const bool fits = threads > 0 && threads <= most_threads && grid_.x > 0 && grid_.x <= 0x7fffffff && grid_.y > 0 &&
                      grid_.y <= most_blocks && grid_.z > 0 && grid_.z <= most_blocks &&
                      shared_ <= (asked == on_request.end() ? shared_memory : asked->second);
    if (!fits) return void(failed(cudaErrorInvalidConfiguration));
    grid = grid_, block = block_;
    dynamic.reset(static_cast<std::byte*>(::operator new(shared_, std::align_val_t(16))));  // no byte more
    barrier = std::make_unique<std::barrier<>>(std::ptrdiff_t(threads));
    std::vector<std::jthread> all;
    for (unsigned number = 0; number < threads; ++number)
      all.emplace_back([&, number] {
        thread_index = dim3(number % block_.x, number / block_.x % block_.y, number / block_.x / block_.y);
        for (unsigned z = 0; z < grid_.z; ++z)
          for (unsigned y = 0; y < grid_.y; ++y)
            for (unsigned x = 0; x < grid_.x; ++x) {
              if (number == 0) std::memset(dynamic.get(), 0xff, shared_);  // not a number, if read before written
              __syncthreads();
              block_index = dim3(x, y, z);
              kernel_(arguments...);
              __syncthreads();
            }
      });
  }

 private:
  void (*kernel_)(Parameters...);
  dim3 grid_, block_;
  std::size_t shared_;
};

}  // namespace cuda_on_cpu
