#include "devices.h"

#include <cuda_runtime.h>

namespace facecure {

int cuda_devices() {
  int count = 0;
  // Without a driver this is an error code, not a missing library: the runtime is linked statically.
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace facecure
