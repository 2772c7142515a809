// Python's way into the cloaks' steps: checks, releases the GIL, calls. No arithmetic.
#include <array>

#include "bindings.h"
#include "cloak_steps_cuda.h"
#include "device_twins.h"
#include "devices.h"
#include "dssim.h"
#include "fawkes_step.h"
#include "fawkes_value.h"
#include "lowkey_step.h"

namespace facecure {
namespace {

// simd="device": what the CUDA twin computes, on the CPU.
bool as_device(const std::optional<std::string>& simd) { return simd == "device"; }

bool shaped(const py::array& array, py::ssize_t a, py::ssize_t b, py::ssize_t c) {
  return array.ndim() == 3 && array.shape(0) == a && array.shape(1) == b && array.shape(2) == c;
}

void require_order(const std::array<int, 3>& channels) {
  bool seen[3] = {};
  for (int channel : channels) {
    require(channel >= 0 && channel < 3 && !seen[channel], "channels must be 0, 1 and 2 in any order");
    seen[channel] = true;
  }
}

DssimSource source_of(const Array<float>& centred, const Array<float>& centred_mean, const Array<float>& contrast,
                      const Array<float>& weights, float centre, float luminance) {
  require(centred.ndim() == 3 && centred.shape(1) >= dssim_window && centred.shape(2) >= dssim_window &&
              centred.shape(1) < 1 << 24 && centred.shape(2) < 1 << 24,
          "planes must be (P, H, W), H, W ≥ 11");
  const py::ssize_t planes = centred.shape(0), height = centred.shape(1), width = centred.shape(2);
  for (const auto* map : {&centred_mean, &contrast})
    require(shaped(*map, planes, height - dssim_window + 1, width - dssim_window + 1),
            "maps must have a value per window");
  require(weights.size() == dssim_window, "weights must be 11");
  return {centred.data(), centred_mean.data(), contrast.data(), weights.data(), centre, luminance,
          planes,         int(height),         int(width)};
}

py::tuple dssim(const Array<float>& perturbation, const Array<float>& centred, const Array<float>& centred_mean,
                const Array<float>& contrast, const Array<float>& weights, float centre, float luminance, int threads,
                const std::optional<std::string>& simd) {
  const DssimSource source = source_of(centred, centred_mean, contrast, weights, centre, luminance);
  require(shaped(perturbation, source.planes, source.height, source.width) && threads > 0,
          "perturbation must have the shape of the source's planes, threads positive");
  const bool device = as_device(simd);
  const Simd chosen = device ? Simd::scalar : parse_simd(simd);
  Array<double> value(source.planes);
  Array<float> gradient({py::ssize_t(source.planes), py::ssize_t(source.height), py::ssize_t(source.width)});
  auto* to_value = value.mutable_data();
  auto* to_gradient = gradient.mutable_data();
  {
    py::gil_scoped_release release;
    if (device)
      dssim_planes_by_tiles(source, perturbation.data(), to_value, to_gradient);
    else
      dssim_planes(source, perturbation.data(), threads, chosen, to_value, to_gradient);
  }
  return py::make_tuple(value, gradient);
}

// What is changed is given by reference and without conversion (see bind_cloaks): another dtype or layout is an error,
// never a copy that would be changed instead.
Array<double> fawkes(Array<float>& modifier, Array<float>& squares, Array<float>& steps, Array<float>& by_dssim,
                     Array<float>& pictures, Array<float>& best, std::optional<Array<float>>& shown,
                     const std::array<float, 3>& shown_mean, const std::array<float, 3>& shown_std,
                     const std::array<int, 3>& slots, const Array<float>& centred, const Array<float>& centred_mean,
                     const Array<float>& contrast, const Array<float>& weights, float centre, float luminance,
                     const std::optional<Array<float>>& by_feature, const Array<float>& dssim_weight,
                     const Array<float>& feature_weight, const Array<bool>& better, float rate, float rho,
                     float epsilon, float kick, bool forget, bool frozen, float bound, int threads,
                     const std::optional<std::string>& simd) {
  const DssimSource source = source_of(centred, centred_mean, contrast, weights, centre, luminance);
  require(centre == fawkes_centre, "centre must be 128");
  require(source.planes % 3 == 0, "a picture has three planes");
  for (const auto* array : {&modifier, &squares, &steps, &by_dssim, &pictures, &best})
    require(shaped(*array, source.planes, source.height, source.width), "planes must have the shape of the source's");
  const auto fits = [&](const py::array& array) { return shaped(array, source.planes, source.height, source.width); };
  require((!by_feature || fits(*by_feature)) && (!shown || fits(*shown)),
          "by_feature and shown must have the shape of the source's planes");
  require_order(slots);
  const py::ssize_t count = source.planes / 3;
  require(dssim_weight.size() == count && feature_weight.size() == count && better.size() == count && threads > 0,
          "weights and better must have a value per picture, threads be positive");
  FawkesMove move{by_feature ? by_feature->data() : nullptr,
                  dssim_weight.data(),
                  feature_weight.data(),
                  reinterpret_cast<const std::uint8_t*>(better.data()),
                  rate,
                  rho,
                  epsilon,
                  kick,
                  forget,
                  frozen};
  const FawkesStep job{source,
                       by_feature ? &move : nullptr,
                       bound,
                       modifier.mutable_data(),
                       squares.mutable_data(),
                       steps.mutable_data(),
                       by_dssim.mutable_data(),
                       pictures.mutable_data(),
                       best.mutable_data(),
                       shown ? shown->mutable_data() : nullptr,
                       {shown_mean[0], shown_mean[1], shown_mean[2]},
                       {shown_std[0], shown_std[1], shown_std[2]},
                       {slots[0], slots[1], slots[2]},
                       threads,
                       as_device(simd) ? Simd::scalar : parse_simd(simd)};
  Array<double> value(source.planes);
  auto* to = value.mutable_data();
  {
    py::gil_scoped_release release;
    as_device(simd) ? fawkes_step_by_tiles(job, to) : fawkes_step(job, to);
  }
  return value;
}

void lowkey(Array<float>& pictures, Array<float>& views, const std::optional<Array<float>>& by_view,
            const std::optional<Array<float>>& by_visible, const Array<float>& weights,
            const std::array<float, 3>& mean, const std::array<float, 3>& std, const std::array<int, 3>& channels,
            float visible_weight, float step, bool mirrored, int threads, const std::optional<std::string>& simd) {
  require(pictures.ndim() == 4 && pictures.shape(1) == 3 && pictures.shape(2) > smooth_window / 2 &&
              pictures.shape(3) > smooth_window / 2 && pictures.shape(2) < 1 << 24 && pictures.shape(3) < 1 << 24,
          "pictures must be (N, 3, H, W), H, W > 3");
  const auto like = [&](const py::array& array, py::ssize_t first) {
    bool same = array.ndim() == 4 + (first > 0) && (!first || array.shape(0) == first);
    for (int dim = 0; same && dim < 4; ++dim) same = array.shape(dim + (first > 0)) == pictures.shape(dim);
    return same;
  };
  const py::ssize_t kinds = mirrored ? 4 : 2;
  require(like(views, kinds) && (!by_view || like(*by_view, kinds)) && (!by_visible || like(*by_visible, 0)),
          "views and by_view must be (2 or, mirrored, 4, N, 3, H, W), by_visible (N, 3, H, W)");
  require_order(channels);
  require(weights.size() == smooth_window && threads > 0, "weights must be 7, threads positive");
  const LowKeyStep job{views.mutable_data(),
                       by_view ? by_view->data() : nullptr,
                       by_visible ? by_visible->data() : nullptr,
                       pictures.mutable_data(),
                       weights.data(),
                       {mean[0], mean[1], mean[2]},
                       {std[0], std[1], std[2]},
                       {channels[0], channels[1], channels[2]},
                       visible_weight,
                       step,
                       mirrored,
                       pictures.shape(0),
                       int(pictures.shape(2)),
                       int(pictures.shape(3)),
                       threads,
                       as_device(simd) ? Simd::scalar : parse_simd(simd)};
  py::gil_scoped_release release;
  as_device(simd) ? lowkey_step_by_values(job) : lowkey_step(job);
}

#ifdef FACECURE_HAS_CUDA
template <class T>
T* at(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

// Addresses of device arrays, whose shapes kernels.cloak_steps_cuda has checked.
void dssim_on_device(std::uintptr_t perturbation, std::uintptr_t centred, std::uintptr_t centred_mean,
                     std::uintptr_t contrast, std::uintptr_t weights, float centre, float luminance,
                     std::int64_t planes, int height, int width, std::uintptr_t scratch, std::uintptr_t value,
                     std::uintptr_t gradient, int device, std::uintptr_t stream) {
  const DeviceGuard guard(device);
  dssim_planes_cuda({at<float>(centred), at<float>(centred_mean), at<float>(contrast), at<float>(weights), centre,
                     luminance, planes, height, width},
                    at<float>(perturbation), at<double>(scratch), at<double>(value), at<float>(gradient),
                    at<void>(stream));
}

void fawkes_on_device(std::uintptr_t modifier, std::uintptr_t squares, std::uintptr_t steps, std::uintptr_t by_dssim,
                      std::uintptr_t pictures, std::uintptr_t best, std::uintptr_t shown,
                      const std::array<float, 3>& shown_mean, const std::array<float, 3>& shown_std,
                      const std::array<int, 3>& slots, std::uintptr_t centred, std::uintptr_t centred_mean,
                      std::uintptr_t contrast, std::uintptr_t weights, float centre, float luminance,
                      std::int64_t planes, int height, int width, std::uintptr_t by_feature,
                      std::uintptr_t dssim_weight, std::uintptr_t feature_weight, std::uintptr_t better, float rate,
                      float rho, float epsilon, float kick, bool forget, bool frozen, float bound,
                      std::uintptr_t scratch, std::uintptr_t value, int device, std::uintptr_t stream) {
  const DeviceGuard guard(device);
  const FawkesMove move{at<float>(by_feature),
                        at<float>(dssim_weight),
                        at<float>(feature_weight),
                        at<std::uint8_t>(better),
                        rate,
                        rho,
                        epsilon,
                        kick,
                        forget,
                        frozen};
  const DssimSource source{at<float>(centred),
                           at<float>(centred_mean),
                           at<float>(contrast),
                           at<float>(weights),
                           centre,
                           luminance,
                           planes,
                           height,
                           width};
  fawkes_step_cuda({source,
                    by_feature ? &move : nullptr,
                    bound,
                    at<float>(modifier),
                    at<float>(squares),
                    at<float>(steps),
                    at<float>(by_dssim),
                    at<float>(pictures),
                    at<float>(best),
                    at<float>(shown),
                    {shown_mean[0], shown_mean[1], shown_mean[2]},
                    {shown_std[0], shown_std[1], shown_std[2]},
                    {slots[0], slots[1], slots[2]},
                    0,
                    Simd::scalar},
                   at<double>(scratch), at<double>(value), at<void>(stream));
}

void lowkey_on_device(std::uintptr_t pictures, std::uintptr_t views, std::uintptr_t by_view, std::uintptr_t by_visible,
                      std::uintptr_t weights, const std::array<float, 3>& mean, const std::array<float, 3>& std,
                      const std::array<int, 3>& channels, float visible_weight, float step, bool mirrored,
                      std::int64_t count, int height, int width, int device, std::uintptr_t stream) {
  const DeviceGuard guard(device);
  lowkey_step_cuda({at<float>(views),
                    at<float>(by_view),
                    at<float>(by_visible),
                    at<float>(pictures),
                    at<float>(weights),
                    {mean[0], mean[1], mean[2]},
                    {std[0], std[1], std[2]},
                    {channels[0], channels[1], channels[2]},
                    visible_weight,
                    step,
                    mirrored,
                    count,
                    height,
                    width,
                    0,
                    Simd::scalar},
                   at<void>(stream));
}
#endif

}  // namespace

void bind_cloaks(py::module_& module) {
  module.def("dssim_planes", &dssim, py::kw_only(), py::arg("perturbation"), py::arg("centred"),
             py::arg("centred_mean"), py::arg("contrast"), py::arg("weights"), py::arg("centre"), py::arg("luminance"),
             py::arg("threads"), py::arg("simd"));
  module.def("fawkes_step", &fawkes, py::kw_only(), py::arg("modifier").noconvert(), py::arg("squares").noconvert(),
             py::arg("steps").noconvert(), py::arg("by_dssim").noconvert(), py::arg("pictures").noconvert(),
             py::arg("best").noconvert(), py::arg("shown").noconvert(), py::arg("shown_mean"), py::arg("shown_std"),
             py::arg("slots"), py::arg("centred"), py::arg("centred_mean"), py::arg("contrast"), py::arg("weights"),
             py::arg("centre"), py::arg("luminance"), py::arg("by_feature"), py::arg("dssim_weight"),
             py::arg("feature_weight"), py::arg("better"), py::arg("rate"), py::arg("rho"), py::arg("epsilon"),
             py::arg("kick"), py::arg("forget"), py::arg("frozen"), py::arg("bound"), py::arg("threads"),
             py::arg("simd"));
  module.def("lowkey_step", &lowkey, py::kw_only(), py::arg("pictures").noconvert(), py::arg("views").noconvert(),
             py::arg("by_view"), py::arg("by_visible"), py::arg("weights"), py::arg("mean"), py::arg("std"),
             py::arg("channels"), py::arg("visible_weight"), py::arg("step"), py::arg("mirrored"), py::arg("threads"),
             py::arg("simd"));
#ifdef FACECURE_HAS_CUDA
  module.def("dssim_scratch", &dssim_scratch, py::arg("height"), py::arg("width"));
  module.def("dssim_planes_cuda", &dssim_on_device, py::kw_only(), py::arg("perturbation"), py::arg("centred"),
             py::arg("centred_mean"), py::arg("contrast"), py::arg("weights"), py::arg("centre"), py::arg("luminance"),
             py::arg("planes"), py::arg("height"), py::arg("width"), py::arg("scratch"), py::arg("value"),
             py::arg("gradient"), py::arg("device"), py::arg("stream"));
  module.def("fawkes_step_cuda", &fawkes_on_device, py::kw_only(), py::arg("modifier"), py::arg("squares"),
             py::arg("steps"), py::arg("by_dssim"), py::arg("pictures"), py::arg("best"), py::arg("shown"),
             py::arg("shown_mean"), py::arg("shown_std"), py::arg("slots"), py::arg("centred"), py::arg("centred_mean"),
             py::arg("contrast"), py::arg("weights"), py::arg("centre"), py::arg("luminance"), py::arg("planes"),
             py::arg("height"), py::arg("width"), py::arg("by_feature"), py::arg("dssim_weight"),
             py::arg("feature_weight"), py::arg("better"), py::arg("rate"), py::arg("rho"), py::arg("epsilon"),
             py::arg("kick"), py::arg("forget"), py::arg("frozen"), py::arg("bound"), py::arg("scratch"),
             py::arg("value"), py::arg("device"), py::arg("stream"));
  module.def("lowkey_step_cuda", &lowkey_on_device, py::kw_only(), py::arg("pictures"), py::arg("views"),
             py::arg("by_view"), py::arg("by_visible"), py::arg("weights"), py::arg("mean"), py::arg("std"),
             py::arg("channels"), py::arg("visible_weight"), py::arg("step"), py::arg("mirrored"), py::arg("count"),
             py::arg("height"), py::arg("width"), py::arg("device"), py::arg("stream"));
#endif
}

}  // namespace facecure
