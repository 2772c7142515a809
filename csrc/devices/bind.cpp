#include <vector>

#include "devices/devices.h"
#include "devices/dlpack.h"
#include "shared/bindings.h"

namespace facecure {
namespace {

// The tensor in a DLPack capsule: address, shape, strides in elements or None, type code, bits, device type and number.
// Nothing is taken over: the capsule stays its owner, so it must outlive the use of the address.
py::tuple dlpack_view(const py::capsule& capsule) {
  require(capsule.name() != nullptr && std::string(capsule.name()) == "dltensor", "an unused DLPack capsule is needed");
  const auto& tensor = *capsule.get_pointer<DLTensor>();  // the first member of DLManagedTensor
  require(tensor.lanes == 1, "vector types have no face pixels");
  const std::vector<std::int64_t> shape(tensor.shape, tensor.shape + tensor.ndim);
  std::optional<std::vector<std::int64_t>> strides;
  if (tensor.strides) strides.emplace(tensor.strides, tensor.strides + tensor.ndim);
  return py::make_tuple(reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset, shape, strides,
                        int(tensor.code), int(tensor.bits), tensor.device_type, tensor.device_id);
}

// Apart from build_info, which must not start the driver.
py::tuple devices() {
#ifdef FACECURE_HAS_CUDA
  return py::make_tuple(cuda_devices().count, cuda_devices().reason);
#else
  return py::make_tuple(0,
                        "the extension was built without CUDA; install it where nvcc is found, with FACECURE_CUDA=ON");
#endif
}

}  // namespace

void bind_devices(py::module_& module) {
  module.def("dlpack_view", &dlpack_view, py::arg("capsule"));
  module.def("cuda_devices", &devices);
#ifdef FACECURE_HAS_CUDA
  module.def("cuda_refusal", &cuda_refusal, py::arg("device"));
  module.def("cuda_device_of", &cuda_device_of, py::arg("address"));
  module.def("cuda_order", &cuda_order, py::kw_only(), py::arg("device"), py::arg("before"), py::arg("after"));
#endif
}

}  // namespace facecure
