// CUDA devices: which there are, whether this build's kernels run there, and what is current.
#pragma once

#include <cstdint>
#include <string>

namespace facecure {

struct CudaDevices {
  int count = 0;
  std::string reason;  // why there is none
};

// Asks the driver, which starts it, once.
const CudaDevices& cuda_devices();

// Why the kernels do not run on a device, "" where they do: this build may hold no code for its processor.
std::string cuda_refusal(int device);

// The device that an address belongs to. Throws std::runtime_error where it is none's.
int cuda_device_of(std::uintptr_t address);

// Lets the stream `after` wait for what `before` has been given so far, both of one device.
void cuda_order(int device, std::uintptr_t before, std::uintptr_t after);

// Makes a device the calling thread's current one while it lives. Throws std::runtime_error where that fails.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_, device_;
};

}  // namespace facecure
