#include <tuple>
#include <vector>

#include "scan/body.h"
#include "scan/near_rows.h"
#include "scan/quantize.h"
#include "shared/bindings.h"

namespace facecure {
namespace {

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

}  // namespace

void bind_scan(py::module_& module) {
  module.def("quantize", &quantized, py::kw_only(), py::arg("vectors").noconvert(), py::arg("index").noconvert(),
             py::arg("limit"), py::arg("threads"), py::arg("simd"));
  module.def("largest_magnitude", &magnitude, py::kw_only(), py::arg("values").noconvert(), py::arg("threads"));
  module.def("scan_bodies", &bodies);
  module.def("near_rows", &rows_near, py::kw_only(), py::arg("probes").noconvert(), py::arg("rows").noconvert(),
             py::arg("half").noconvert(), py::arg("lost").noconvert(), py::arg("coarse").noconvert(),
             py::arg("fine").noconvert(), py::arg("labels").noconvert(), py::arg("own").noconvert(),
             py::arg("best").noconvert(), py::arg("best_label").noconvert(), py::arg("most"), py::arg("threads"),
             py::arg("simd"));
}

}  // namespace facecure
