// One plane of dssim_planes, its perturbation made row by row while it streams through.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dssim.h"
#include "dssim_value.h"
#include "filter.h"
#include "simd.h"

namespace facecure {

// Rows of scratch for planes of one width; a thread needs one of these. Filters run over whole lanes: rows are as long as
// that takes, and what lies beyond their values is finite and never used.
class DssimScratch {
 public:
  static constexpr int edge = dssim_window - 1;

  explicit DssimScratch(int width)
      : stride_(whole_lanes(width + 2 * edge) + lanes), memory_(std::size_t(rows * stride_ / lanes)),
        totals_(std::size_t(width)) {}

  void clear() {
    std::fill_n(at(0), rows * stride_, 0.0f);
    std::fill(totals_.begin(), totals_.end(), 0.0);
  }
  float* perturbation(int row) { return at(row % dssim_window); }  // the last dssim_window rows of it
  float* source(int row) { return at(dssim_window + row % dssim_window); }
  float* spread(int map, int row) { return at((2 + map) * dssim_window + row % dssim_window); }
  float* columns(int map) { return at(5 * dssim_window + map); }
  float* means(int map) { return at(5 * dssim_window + 3 + map); }
  float* coefficients(int map) { return at(5 * dssim_window + 6 + map); }  // with `edge` zeros on both sides
  float* sums(int map) { return at(5 * dssim_window + 9 + map); }
  float* values() { return at(5 * dssim_window + 12); }
  double* totals() { return totals_.data(); }  // of columns

 private:
  static constexpr int rows = 5 * dssim_window + 13;
  float* at(int row) { return reinterpret_cast<float*>(memory_.data()) + row * stride_; }

  std::int64_t stride_;
  struct alignas(sizeof(float) * lanes) Aligned {
    float values[lanes];
  };
  std::vector<Aligned> memory_;  // rows start where whole vectors do
  std::vector<double> totals_;
};

namespace dssim_detail {

// Weighted means down the columns of d, s·d and d², dssim_window rows from row y on.
FACECURE_INLINE void columns(DssimScratch& scratch, int y, const float* weights, int count) {
  constexpr int half = dssim_window / 2;
  const float *ds[dssim_window], *ss[dssim_window];
  for (int k = 0; k < dssim_window; ++k) ds[k] = scratch.perturbation(y + k), ss[k] = scratch.source(y + k);
  const float w[half + 1] = {weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]};
  float *to_d = scratch.columns(0), *to_sd = scratch.columns(1), *to_dd = scratch.columns(2);
  for (int x = 0; x < count; x += lanes) {
    const Lanes middle = lanes_at(ds[half] + x);
    Lanes d = w[half] * middle, sd = d * lanes_at(ss[half] + x), dd = d * middle;
#pragma GCC unroll 5
    for (int k = 0; k < half; ++k) {
      const Lanes a = lanes_at(ds[k] + x), b = lanes_at(ds[dssim_window - 1 - k] + x);
      d += w[k] * (a + b);
      sd += w[k] * (a * lanes_at(ss[k] + x) + b * lanes_at(ss[dssim_window - 1 - k] + x));
      dd += w[k] * (a * a + b * b);
    }
    *reinterpret_cast<Lanes*>(to_d + x) = d;
    *reinterpret_cast<Lanes*>(to_sd + x) = sd;
    *reinterpret_cast<Lanes*>(to_dd + x) = dd;
  }
}

// From the means of d, s·d and d² over a row of windows to what the gradient spreads over each window's pixels:
// coefficients of 1, of 2d and of s. Adds A + B − AB to `totals`, by column.
FACECURE_INLINE void windows(const DssimSource& source, std::int64_t at, int count, const float* __restrict mean_d,
                             const float* __restrict mean_sd, const float* __restrict mean_dd,
                             float* __restrict by_mean, float* __restrict by_variance,
                             float* __restrict by_covariance, float* __restrict values, double* __restrict totals) {
  const float *centred_mean = source.centred_mean + at, *base = source.contrast + at;
  const float centre = source.centre, luminance = source.luminance;
  const auto some = [&](int from, int until) FACECURE_INLINE_LAMBDA {
#pragma GCC ivdep
    for (int x = from; x < until; ++x) {
      const DssimWindow found =
          dssim_window_value(mean_d[x], mean_sd[x], mean_dd[x], centred_mean[x], base[x], centre, luminance);
      by_mean[x] = found.by_mean, by_variance[x] = found.by_variance, by_covariance[x] = found.by_covariance;
      values[x] = found.value;
    }
  };
  for (int x = 0; x + lanes <= count; x += lanes) some(x, x + lanes);
  if (count < lanes)
    some(0, count);
  else if (count % lanes)
    some(count - lanes, count);  // some a second time, which is faster than the last ones singly
  for (int x = 0; x < count; ++x) totals[x] += double(values[x]);
}

}  // namespace dssim_detail

// Returns what dssim_planes writes for plane `number`, and writes its gradient (height, width). `perturb(y, row)` writes
// row y of the perturbation; it is asked for each row once, in order, before the gradient of that row is written.
template <class Perturb>
FACECURE_INLINE double dssim_plane(const DssimSource& source, std::int64_t number, DssimScratch& scratch,
                                   const Perturb& perturb, float* __restrict gradient) {
  using namespace dssim_detail;
  constexpr int edge = DssimScratch::edge;
  const int width = source.width, across = width - edge, high = source.height - edge;
  const float *s = source.centred + number * source.height * width, *weights = source.weights;
  scratch.clear();
  for (int y = 0, read = 0; y < source.height; ++y) {
    if (y < high) {
      for (; read <= y + edge; ++read) {  // rows that window row y needs
        std::copy_n(s + std::int64_t(read) * width, width, scratch.source(read));
        perturb(read, scratch.perturbation(read));
      }
      columns(scratch, y, weights, width);
      for (int map = 0; map < 3; ++map) along<dssim_window>(scratch.columns(map), weights, across, scratch.means(map));
      windows(source, (number * high + y) * across, across, scratch.means(0), scratch.means(1), scratch.means(2),
              scratch.coefficients(0) + edge, scratch.coefficients(1) + edge, scratch.coefficients(2) + edge,
              scratch.values(), scratch.totals());
    }
    for (int map = 0; map < 3; ++map) {
      float* out = scratch.spread(map, y);
      if (y < high)
        along<dssim_window>(scratch.coefficients(map), weights, width, out);  // its own transpose, for it is symmetric
      else
        std::fill(out, out + width, 0.0f);
      const auto row = [&](int k) FACECURE_INLINE_LAMBDA { return scratch.spread(map, y + dssim_window - k); };
      filter<dssim_window>(row, weights, width, scratch.sums(map));
    }
    const float *t0 = scratch.sums(0), *t1 = scratch.sums(1), *t2 = scratch.sums(2);
    const float *dr = scratch.perturbation(y), *sr = scratch.source(y);
    float* out = gradient + std::int64_t(y) * width;
#pragma GCC ivdep
    for (int x = 0; x < width; ++x) out[x] = t0[x] + 2 * dr[x] * t1[x] + sr[x] * t2[x];
  }
  double value = 0;
  for (int x = 0; x < across; ++x) value += scratch.totals()[x];
  return value;
}

}  // namespace facecure
