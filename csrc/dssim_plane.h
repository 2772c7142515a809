// One plane of dssim_planes, its perturbation made row by row while it streams through.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dssim.h"
#include "simd.h"

namespace facecure {

// Rows of scratch for planes of one width; a thread needs one of these.
class DssimScratch {
 public:
  explicit DssimScratch(int width)
      : width_(width + 2 * dssim_edge), memory_(std::size_t(rows * width_)) {}

  static constexpr int dssim_edge = dssim_window - 1;

  void clear() { std::fill(memory_.begin(), memory_.end(), 0.0f); }
  float* perturbation(int row) { return at(row % dssim_window); }  // the last dssim_window rows of it
  float* filtered(int map, int row) { return at((1 + map) * dssim_window + row % dssim_window); }
  float* spread(int map, int row) { return at((4 + map) * dssim_window + row % dssim_window); }
  float* products(int map) { return at(7 * dssim_window + map); }
  float* coefficients(int map) { return at(7 * dssim_window + 2 + map); }  // with dssim_edge zeros on both sides
  float* means(int map) { return at(7 * dssim_window + 5 + map); }
  float* sums(int map) { return at(7 * dssim_window + 8 + map); }
  float* terms() { return at(7 * dssim_window + 11); }

 private:
  static constexpr int rows = 7 * dssim_window + 12;
  float* at(int row) { return memory_.data() + row * width_; }

  std::int64_t width_;
  std::vector<float> memory_;
};

namespace dssim_detail {

// Weighted means of `count` windows along a row.
FACECURE_INLINE void along(const float* __restrict row, const float* weights, int count, float* __restrict out) {
  for (int x = 0; x < count; ++x) {
    float sum = weights[0] * row[x];
#pragma GCC unroll 11
    for (int k = 1; k < dssim_window; ++k) sum += weights[k] * row[x + k];
    out[x] = sum;
  }
}

// Weighted means down the rows that `row(k)` names.
template <class Row>
FACECURE_INLINE void down(const Row& row, const float* weights, int count, float* __restrict out) {
  const float* rows[dssim_window];
  for (int k = 0; k < dssim_window; ++k) rows[k] = row(k);
  for (int x = 0; x < count; ++x) {
    float sum = weights[0] * rows[0][x];
#pragma GCC unroll 11
    for (int k = 1; k < dssim_window; ++k) sum += weights[k] * rows[k][x];
    out[x] = sum;
  }
}

// From the means of d, s·d and d² over a row of windows to what the gradient spreads over each window's pixels:
// coefficients of 1, of 2d and of s. Returns Σ A + B − AB.
FACECURE_INLINE double windows(const DssimSource& source, std::int64_t at, int count, const float* __restrict mean_d,
                               const float* __restrict mean_sd, const float* __restrict mean_dd,
                               float* __restrict by_mean, float* __restrict by_variance,
                               float* __restrict by_covariance, float* __restrict terms) {
  const float *centred_mean = source.centred_mean + at, *mean = source.mean + at, *base = source.contrast + at;
  for (int x = 0; x < count; ++x) {
    const float covariance = mean_sd[x] - centred_mean[x] * mean_d[x];
    const float variance = mean_dd[x] - mean_d[x] * mean_d[x];
    const float mean_a = mean[x] + mean_d[x];
    const float luminance = mean_a * mean_a + mean[x] * mean[x] + source.luminance;
    const float contrast = base[x] + 2 * covariance + variance;
    const float a = mean_d[x] * mean_d[x] / luminance, b = variance / contrast;
    by_variance[x] = (1 - a) * (1 - b) / contrast;
    by_covariance[x] = -2 * (1 - a) * b / contrast;
    by_mean[x] = 2 * (1 - b) * (mean_d[x] - a * mean_a) / luminance - 2 * mean_d[x] * by_variance[x] -
                 centred_mean[x] * by_covariance[x];
    terms[x] = a + b - a * b;
  }
  double sum = 0;
  for (int x = 0; x < count; ++x) sum += double(terms[x]);
  return sum;
}

}  // namespace dssim_detail

// Returns what dssim_planes writes for plane `number`, and writes its gradient (height, width). `perturbation(y)`
// returns row y; it is asked for each row once, in order, before the gradient of that row is written.
template <class Perturbation>
FACECURE_INLINE double dssim_plane(const DssimSource& source, std::int64_t number, DssimScratch& scratch,
                                   const Perturbation& perturbation, float* __restrict gradient) {
  using namespace dssim_detail;
  constexpr int edge = DssimScratch::dssim_edge;
  const int width = source.width, across = width - edge, high = source.height - edge;
  const float *s = source.centred + number * source.height * width, *weights = source.weights;
  scratch.clear();
  double value = 0;
  const float* rows[dssim_window] = {};  // of the perturbation, by number modulo their count
  for (int y = 0, read = 0; y < source.height; ++y) {
    if (y < high) {
      for (; read <= y + edge; ++read) {  // rows that window row y needs
        const float *sr = s + std::int64_t(read) * width, *dr = perturbation(read);
        rows[read % dssim_window] = dr;
        float *sd = scratch.products(0), *dd = scratch.products(1);
        for (int x = 0; x < width; ++x) sd[x] = sr[x] * dr[x], dd[x] = dr[x] * dr[x];
        along(dr, weights, across, scratch.filtered(0, read));
        along(sd, weights, across, scratch.filtered(1, read));
        along(dd, weights, across, scratch.filtered(2, read));
      }
      for (int map = 0; map < 3; ++map)
        down([&](int k) { return scratch.filtered(map, y + k); }, weights, across, scratch.means(map));
      value += windows(source, (number * high + y) * across, across, scratch.means(0), scratch.means(1),
                       scratch.means(2), scratch.coefficients(0) + edge, scratch.coefficients(1) + edge,
                       scratch.coefficients(2) + edge, scratch.terms());
    }
    for (int map = 0; map < 3; ++map) {
      float* out = scratch.spread(map, y);
      if (y < high)
        along(scratch.coefficients(map), weights, width, out);  // symmetric: a window's means are its transpose
      else
        std::fill(out, out + width, 0.0f);
      down([&](int k) { return scratch.spread(map, y + dssim_window - k); }, weights, width, scratch.sums(map));
    }
    const float *t0 = scratch.sums(0), *t1 = scratch.sums(1), *t2 = scratch.sums(2);
    const float *dr = rows[y % dssim_window], *sr = s + std::int64_t(y) * width;
    float* out = gradient + std::int64_t(y) * width;
    for (int x = 0; x < width; ++x) out[x] = t0[x] + 2 * dr[x] * t1[x] + sr[x] * t2[x];
  }
  return value;
}

}  // namespace facecure
