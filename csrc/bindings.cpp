// Python's way in: checks, releases the GIL, calls. No arithmetic.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <tuple>
#include <variant>

#include "bindings.h"
#include "devices.h"
#include "dlpack.h"
#include "near_rows.h"
#include "normalise_faces.h"
#include "quantize.h"
#include "scan_body.h"
#include "segment_nearest.h"
#include "simd.h"
#include "warp_faces.h"
#include "warp_faces_cuda.h"

using namespace facecure;

namespace {

const char* simd_name(Simd simd) { return simd_names[std::size_t(simd)].first; }

py::array warp(const std::vector<Array<std::uint8_t>>& pictures, const Array<double>& matrices, int height, int width,
               bool replicate, const std::variant<py::none, Array<float>, Array<std::uint16_t>>& table,
               const std::array<int, 3>& channels, bool planar, int threads, const std::optional<std::string>& simd) {
  const auto faces = py::ssize_t(pictures.size());
  require(matrices.ndim() == 3 && matrices.shape(0) == faces && matrices.shape(1) == 2 && matrices.shape(2) == 3,
          "matrices must be (faces, 2, 3), one per picture");
  require(height > 0 && width > 0 && threads > 0, "height, width and threads must be positive");
  for (int channel : channels) require(channel >= 0 && channel < 3, "channels must be 0, 1 or 2");
  std::vector<Picture> views;
  views.reserve(pictures.size());
  for (const auto& picture : pictures) {
    require(picture.ndim() == 3 && picture.shape(2) == 3 && picture.size() > 0,
            "a picture must be (H, W, 3), H, W > 0");
    views.push_back({picture.data(), int(picture.shape(0)), int(picture.shape(1))});
  }
  const WarpFaces job{views.data(), matrices.data(), int(faces),
                      height,       width,           replicate ? Border::replicate : Border::black,
                      threads,      parse_simd(simd)};
  const auto write = [&]<class T>(const T(*rows)[256]) -> py::array {
    const py::ssize_t n = faces, h = height, w = width;
    Array<T> out(planar ? std::array<py::ssize_t, 4>{n, 3, h, w} : std::array<py::ssize_t, 4>{n, h, w, 3});
    const Values<T> values{rows, {channels[0], channels[1], channels[2]}, planar ? Layout::nchw : Layout::nhwc};
    auto* to = out.mutable_data();
    py::gil_scoped_release release;
    warp_faces(job, values, to);
    return out;
  };
  const auto fused = [&]<class T>(const Array<T>& given) {
    require(given.ndim() == 2 && given.shape(0) == 3 && given.shape(1) == 256, "table must be (3, 256)");
    return write(reinterpret_cast<const T(*)[256]>(given.data()));
  };
  if (const auto* bits = std::get_if<Array<std::uint16_t>>(&table)) return fused(*bits);
  if (const auto* values = std::get_if<Array<float>>(&table)) return fused(*values);
  return write(static_cast<const std::uint8_t (*)[256]>(nullptr));
}

void normalise(const Array<std::uint8_t>& pixels, const Array<float>& table, const std::array<int, 3>& channels,
               bool planar, Array<float>& out, int threads) {
  require(pixels.ndim() == 4 && pixels.shape(3) == 3 && threads > 0, "faces must be (N, H, W, 3), threads positive");
  require(table.ndim() == 2 && table.shape(0) == 3 && table.shape(1) == 256, "table must be (3, 256)");
  for (int channel : channels) require(channel >= 0 && channel < 3, "channels must be 0, 1 or 2");
  const py::ssize_t n = pixels.shape(0), h = pixels.shape(1), w = pixels.shape(2);
  const std::array<py::ssize_t, 4> wanted =
      planar ? std::array{n, py::ssize_t(3), h, w} : std::array{n, h, w, py::ssize_t(3)};
  require(out.ndim() == 4 && std::equal(wanted.begin(), wanted.end(), out.shape()), "out must have the faces' sides");
  const Values<float> values{reinterpret_cast<const float (*)[256]>(table.data()),
                             {channels[0], channels[1], channels[2]},
                             planar ? Layout::nchw : Layout::nhwc};
  auto* to = out.mutable_data();
  py::gil_scoped_release release;
  normalise_faces(pixels.data(), n, h * w, values, threads, to);
}

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

#ifdef FACECURE_HAS_CUDA
void warp_on_device(std::uintptr_t pictures, std::uintptr_t matrices, std::uintptr_t out, int faces, int picture_height,
                    int picture_width, int height, int width, bool one_picture, bool replicate,
                    const std::variant<py::none, Array<float>, Array<std::uint16_t>>& table,
                    const std::array<int, 3>& channels, bool planar, int device, std::uintptr_t stream) {
  const DeviceGuard guard(device);
  const DeviceWarp job{reinterpret_cast<const std::uint8_t*>(pictures),
                       reinterpret_cast<const double*>(matrices),
                       faces,
                       picture_height,
                       picture_width,
                       height,
                       width,
                       one_picture,
                       replicate ? Border::replicate : Border::black,
                       reinterpret_cast<void*>(stream)};
  const auto write = [&]<class T>(const T(*rows)[256]) {
    const Values<T> values{rows, {channels[0], channels[1], channels[2]}, planar ? Layout::nchw : Layout::nhwc};
    warp_faces_cuda(job, values, reinterpret_cast<T*>(out));
  };
  const auto fused = [&]<class T>(const Array<T>& given) {
    require(given.ndim() == 2 && given.shape(0) == 3 && given.shape(1) == 256, "table must be (3, 256)");
    write(reinterpret_cast<const T(*)[256]>(given.data()));
  };
  if (const auto* bits = std::get_if<Array<std::uint16_t>>(&table)) return fused(*bits);
  if (const auto* values = std::get_if<Array<float>>(&table)) return fused(*values);
  write(static_cast<const std::uint8_t (*)[256]>(nullptr));
}
#endif

void require_index(const std::optional<Array<std::int64_t>>& index, py::ssize_t rows) {
  if (!index) return;
  require(index->ndim() == 1, "index must be one-dimensional");
  const auto at = index->unchecked<1>();
  for (py::ssize_t i = 0; i < at.shape(0); ++i) require(at(i) >= 0 && at(i) < rows, "index must point into vectors");
}

py::tuple quantized(const Array<float>& vectors, const std::optional<Array<std::int64_t>>& index, int limit,
                    int threads, const std::optional<std::string>& simd) {
  require(vectors.ndim() == 2 && limit > 0 && limit <= 127 && threads > 0,
          "vectors must be (N, D), limit 1 to 127, threads positive");
  require_index(index, vectors.shape(0));
  const py::ssize_t count = index ? index->shape(0) : vectors.shape(0), width = vectors.shape(1);
  const py::ssize_t size = (width + code_block - 1) / code_block * code_block;
  Array<std::int8_t> codes({count, size});
  Array<std::int32_t> sums(count);
  Array<double> scale(count), square(count), lost(count);
  const Quantize job{vectors.data(),  index ? index->data() : nullptr, count, width, size, limit, threads,
                     parse_simd(simd)};
  const Quantized result{codes.mutable_data(), sums.mutable_data(), scale.mutable_data(), square.mutable_data(),
                         lost.mutable_data()};
  {
    py::gil_scoped_release release;
    quantize(job, result);
  }
  return py::make_tuple(codes, sums, scale, square, lost);
}

float magnitude(const Array<float>& values, int threads) {
  require(threads > 0, "threads must be positive");
  py::gil_scoped_release release;
  return largest_magnitude(values.data(), values.size(), threads, best_simd());
}

void require_starts(const Array<std::int64_t>& starts, py::ssize_t first, py::ssize_t last) {
  const auto s = starts.unchecked<1>();
  for (py::ssize_t i = 0; i < s.shape(0); ++i)
    require(s(i) >= first && s(i) <= last && (i == 0 || s(i) >= s(i - 1)), "starts must ascend within the rows");
}

const ScanBody& parse_body(const std::optional<std::string>& name) {
  if (!name) return *scan_bodies().back();
  for (const ScanBody* body : scan_bodies())
    if (*name == body->name) return *body;
  throw py::value_error("simd names no body of the scan that this CPU has and FACECURE_SIMD allows");
}

// Name, largest code: the best last.
py::list bodies() {
  py::list found;
  for (const ScanBody* body : scan_bodies()) found.append(py::make_tuple(body->name, body->limit));
  return found;
}

template <class T>
bool has_shape(const Array<T>& array, std::initializer_list<py::ssize_t> shape) {
  return array.ndim() == py::ssize_t(shape.size()) && std::equal(shape.begin(), shape.end(), array.shape());
}

// vectors, index or None, codes, sums, scale
using Coded =
    std::tuple<Array<float>, std::optional<Array<std::int64_t>>, Array<std::int8_t>, Array<std::int32_t>, Array<float>>;

CodedVectors coded(const Coded& given) {
  const auto& [vectors, index, codes, sums, scale] = given;
  require(vectors.ndim() == 2, "vectors must be (N, D)");
  require_index(index, vectors.shape(0));
  const py::ssize_t count = index ? index->shape(0) : vectors.shape(0), width = vectors.shape(1);
  const py::ssize_t size = (width + code_block - 1) / code_block * code_block;
  require(width <= 1 << 17 && count < 1ll << 31, "at most 2^17 values a vector and 2^31 vectors at a time");
  require(has_shape(codes, {count, size}), "codes must be (N, D), D up to a multiple of 16");
  require(has_shape(sums, {count}) && has_shape(scale, {count}), "sums and scale must have a value per vector");
  return {vectors.data(), index ? index->data() : nullptr, codes.data(), sums.data(), scale.data(), count, width, size};
}

std::optional<py::tuple> rows_near(const Coded& probes, const Coded& rows, const Array<float>& half,
                                   const Array<float>& lost, const Array<float>& coarse, const Array<float>& fine,
                                   const std::optional<Array<std::int64_t>>& labels,
                                   const std::optional<Array<std::int64_t>>& own, Array<float>& best,
                                   Array<std::int64_t>& best_label, std::int64_t most, int threads,
                                   const std::optional<std::string>& simd) {
  const ScanBody& body = parse_body(simd);
  const CodedVectors x = coded(probes), y = coded(rows);
  require(x.width == y.width, "probes and rows must have as many values");
  require(has_shape(coarse, {x.count, 2}) && has_shape(fine, {x.count}) && (!own || has_shape(*own, {x.count})) &&
              has_shape(best, {x.count, 2}) && has_shape(best_label, {x.count}),
          "coarse, fine, own, best and best_label must have a value per probe, coarse and best two");
  require(has_shape(half, {y.count}) && has_shape(lost, {y.count}) && (!labels || has_shape(*labels, {y.count})) &&
              labels.has_value() == own.has_value() && threads > 0,
          "half, lost and labels must have a value per row; labels come with own; threads positive");
  const NearRows job{x,
                     y,
                     half.data(),
                     lost.data(),
                     coarse.data(),
                     fine.data(),
                     labels ? labels->data() : nullptr,
                     own ? own->data() : nullptr,
                     most,
                     threads,
                     best.mutable_data(),
                     best_label.mutable_data()};
  std::optional<std::vector<std::vector<NearRow>>> found;
  {
    py::gil_scoped_release release;
    found = near_rows(job, body);
  }
  if (!found) return std::nullopt;
  py::ssize_t total = 0;
  for (const auto& part : *found) total += py::ssize_t(part.size());
  Array<std::int64_t> probe(total), row(total);
  Array<float> score(total);
  auto *to_probe = probe.mutable_data(), *to_row = row.mutable_data();
  auto* to_score = score.mutable_data();
  for (const auto& part : *found)
    for (const NearRow& hit : part) *to_probe++ = hit.probe, *to_row++ = hit.row, *to_score++ = hit.score;
  return py::make_tuple(probe, row, score);
}

py::tuple nearest_of_segments(const Array<float>& probes, const Array<float>& rows, const Array<std::int64_t>& members,
                              const Array<std::int64_t>& starts, const Array<std::int64_t>& probe,
                              const Array<std::int64_t>& segment, int threads) {
  require(probes.ndim() == 2 && rows.ndim() == 2 && probes.shape(1) == rows.shape(1) && threads > 0,
          "probes and rows must be (N, D), threads positive");
  require(members.ndim() == 1 && starts.ndim() == 1 && starts.shape(0) > 0 && probe.ndim() == 1 &&
              segment.ndim() == 1 && probe.shape(0) == segment.shape(0),
          "members, starts, probe and segment must be one-dimensional, probe as long as segment");
  require_starts(starts, 0, members.shape(0));
  const auto inside = [](const Array<std::int64_t>& values, py::ssize_t limit) {
    const auto v = values.unchecked<1>();
    for (py::ssize_t i = 0; i < v.shape(0); ++i)
      if (v(i) < 0 || v(i) >= limit) return false;
    return true;
  };
  require(inside(members, rows.shape(0)) && inside(probe, probes.shape(0)) && inside(segment, starts.shape(0) - 1),
          "members, probe and segment must be indices into rows, probes and segments");
  Array<double> distance({probe.shape(0), py::ssize_t(2)});
  Array<std::int64_t> row({probe.shape(0), py::ssize_t(2)});
  const SegmentNearest job{probes.data(),  rows.data(),    members.data(),  starts.data(), probe.data(),
                           segment.data(), probe.shape(0), probes.shape(1), threads};
  {
    auto* to = distance.mutable_data();
    auto* at = row.mutable_data();
    py::gil_scoped_release release;
    segment_nearest(job, to, at);
  }
  return py::make_tuple(distance, row);
}

py::dict build_info() {
  py::dict info;
  info["commit"] = FACECURE_COMMIT;
  info["compiler"] = __VERSION__;
  info["simd"] = simd_name(best_simd());
  info["simd_asked"] = simd_asked();
#ifdef _OPENMP
  info["openmp"] = true;
#else
  info["openmp"] = false;
#endif
  info["scan"] = scan_bodies().back()->name;
#ifdef FACECURE_HAS_CUDA
  info["cuda"] = true;
#else
  info["cuda"] = false;
#endif
  return info;
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

PYBIND11_MODULE(_core, module) {
  best_simd();  // a wrong FACECURE_SIMD is an error at once
  module.def("warp_faces", &warp, py::kw_only(), py::arg("pictures"), py::arg("matrices"), py::arg("height"),
             py::arg("width"), py::arg("replicate"), py::arg("table"), py::arg("channels"), py::arg("planar"),
             py::arg("threads"), py::arg("simd"));
  module.def("normalise_faces", &normalise, py::kw_only(), py::arg("pixels"), py::arg("table"), py::arg("channels"),
             py::arg("planar"), py::arg("out").noconvert(), py::arg("threads"));
  module.def("dlpack_view", &dlpack_view, py::arg("capsule"));
#ifdef FACECURE_HAS_CUDA
  module.def("warp_faces_cuda", &warp_on_device, py::kw_only(), py::arg("pictures"), py::arg("matrices"),
             py::arg("out"), py::arg("faces"), py::arg("picture_height"), py::arg("picture_width"), py::arg("height"),
             py::arg("width"), py::arg("one_picture"), py::arg("replicate"), py::arg("table"), py::arg("channels"),
             py::arg("planar"), py::arg("device"), py::arg("stream"));
  module.def("cuda_refusal", &cuda_refusal, py::arg("device"));
  module.def("cuda_device_of", &cuda_device_of, py::arg("address"));
  module.def("cuda_order", &cuda_order, py::kw_only(), py::arg("device"), py::arg("before"), py::arg("after"));
#endif
  module.def("quantize", &quantized, py::kw_only(), py::arg("vectors").noconvert(), py::arg("index").noconvert(),
             py::arg("limit"), py::arg("threads"), py::arg("simd"));
  module.def("largest_magnitude", &magnitude, py::kw_only(), py::arg("values").noconvert(), py::arg("threads"));
  module.def("scan_bodies", &bodies);
  module.def("near_rows", &rows_near, py::kw_only(), py::arg("probes").noconvert(), py::arg("rows").noconvert(),
             py::arg("half").noconvert(), py::arg("lost").noconvert(), py::arg("coarse").noconvert(),
             py::arg("fine").noconvert(), py::arg("labels").noconvert(), py::arg("own").noconvert(),
             py::arg("best").noconvert(), py::arg("best_label").noconvert(), py::arg("most"), py::arg("threads"),
             py::arg("simd"));
  module.def("segment_nearest", &nearest_of_segments, py::kw_only(), py::arg("probes").noconvert(),
             py::arg("rows").noconvert(), py::arg("members"), py::arg("starts"), py::arg("probe"), py::arg("segment"),
             py::arg("threads"));
  bind_cloaks(module);
  module.def("build_info", &build_info);
  module.def("cuda_devices", &devices);
}
