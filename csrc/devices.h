// CUDA devices that can be used now.
#pragma once

namespace facecure {

// 0 without a device or a driver; never throws.
int cuda_devices();

}  // namespace facecure
