#include "devices/devices.h"

#include <stdexcept>

#include "shared/launch.cuh"

namespace facecure {
namespace {

__global__ void nothing() {}  // compiled for what all kernels are compiled for

}  // namespace

const CudaDevices& cuda_devices() {
  static const CudaDevices found = [] {
    CudaDevices devices;
    // Without a driver this is an error code, not a missing library: the runtime is linked statically.
    const cudaError_t status = cudaGetDeviceCount(&devices.count);
    if (status != cudaSuccess) {
      devices = {0, std::string("no CUDA device can be used: ") + cudaGetErrorString(status)};
      cudaGetLastError();
    } else if (devices.count == 0) {
      devices.reason = "no CUDA device is visible";
    }
    return devices;
  }();
  return found;
}

std::string cuda_refusal(int device) {
  const DeviceGuard guard(device);
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, nothing);
  if (status == cudaSuccess) return "";
  cudaGetLastError();
  return "the extension's kernels do not run on CUDA device " + std::to_string(device) + ": " +
         cudaGetErrorString(status) + "; build it for this GPU with CMAKE_CUDA_ARCHITECTURES=native";
}

int cuda_device_of(std::uintptr_t address) {
  cudaPointerAttributes attributes;
  check(cudaPointerGetAttributes(&attributes, reinterpret_cast<const void*>(address)), "device of an address");
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
    throw std::runtime_error("an address is in no CUDA device's memory");
  return attributes.device;
}

void cuda_order(int device, std::uintptr_t before, std::uintptr_t after) {
  const DeviceGuard guard(device);
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
  cudaError_t status = cudaEventRecord(event, reinterpret_cast<cudaStream_t>(before));
  if (status == cudaSuccess) status = cudaStreamWaitEvent(reinterpret_cast<cudaStream_t>(after), event, 0);
  cudaEventDestroy(event);  // freed once it has happened
  check(status, "order of two streams");
}

DeviceGuard::DeviceGuard(int device) : device_(device) {
  check(cudaGetDevice(&before_), "current CUDA device");
  if (before_ != device_) check(cudaSetDevice(device_), "CUDA device of the arrays");
}

DeviceGuard::~DeviceGuard() {
  if (before_ != device_) cudaSetDevice(before_);
}

}  // namespace facecure
