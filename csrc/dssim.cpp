#include "dssim.h"

#include <algorithm>
#include <vector>

namespace facecure {
namespace {

constexpr int edge = dssim_window - 1;

// Rows of scratch for one plane.
struct Rows {
  std::vector<float> memory;
  std::int64_t width;

  explicit Rows(std::int64_t width) : memory(std::size_t(8 * dssim_window * width)), width(width) {}
  float* filtered(int map, int row) { return at(map * dssim_window + row % dssim_window); }
  float* spread(int map, int row) { return at((3 + map) * dssim_window + row % dssim_window); }
  float* products(int map) { return at(6 * dssim_window + map); }
  float* coefficients(int map) { return at(6 * dssim_window + 2 + map); }  // with `edge` zeros on both sides

 private:
  float* at(int row) { return memory.data() + row * width; }
};

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
FACECURE_INLINE double windows(const DssimPlanes& job, std::int64_t at, int count, const float* __restrict mean_d,
                               const float* __restrict mean_sd, const float* __restrict mean_dd,
                               float* __restrict by_mean, float* __restrict by_variance,
                               float* __restrict by_covariance, float* __restrict terms) {
  const float *source_mean = job.source_mean + at, *mean = job.mean + at, *base = job.contrast + at;
  for (int x = 0; x < count; ++x) {
    const float covariance = mean_sd[x] - source_mean[x] * mean_d[x];
    const float variance = mean_dd[x] - mean_d[x] * mean_d[x];
    const float mean_a = mean[x] + mean_d[x];
    const float luminance = mean_a * mean_a + mean[x] * mean[x] + job.luminance;
    const float contrast = base[x] + 2 * covariance + variance;
    const float a = mean_d[x] * mean_d[x] / luminance, b = variance / contrast;
    by_variance[x] = (1 - a) * (1 - b) / contrast;
    by_covariance[x] = -2 * (1 - a) * b / contrast;
    by_mean[x] = 2 * (1 - b) * (mean_d[x] - a * mean_a) / luminance - 2 * mean_d[x] * by_variance[x] -
                 source_mean[x] * by_covariance[x];
    terms[x] = a + b - a * b;
  }
  double sum = 0;
  for (int x = 0; x < count; ++x) sum += double(terms[x]);
  return sum;
}

FACECURE_INLINE double plane(const DssimPlanes& job, std::int64_t number, Rows& scratch, float* __restrict gradient) {
  const int across = job.width - edge, high = job.height - edge;
  const std::int64_t first = number * job.height * job.width;
  const float *d = job.perturbation + first, *s = job.source + first, *weights = job.weights;
  std::vector<float> terms(static_cast<std::size_t>(across)), means(static_cast<std::size_t>(3 * across));
  std::vector<float> spread(static_cast<std::size_t>(3 * job.width));
  std::fill(scratch.memory.begin(), scratch.memory.end(), 0.0f);
  double value = 0;
  for (int y = 0, read = 0; y < job.height; ++y) {
    if (y < high) {
      for (; read <= y + edge; ++read) {  // rows that window row y needs
        const float *dr = d + std::int64_t(read) * job.width, *sr = s + std::int64_t(read) * job.width;
        float *sd = scratch.products(0), *dd = scratch.products(1);
        for (int x = 0; x < job.width; ++x) sd[x] = sr[x] * dr[x], dd[x] = dr[x] * dr[x];
        along(dr, weights, across, scratch.filtered(0, read));
        along(sd, weights, across, scratch.filtered(1, read));
        along(dd, weights, across, scratch.filtered(2, read));
      }
      float* mean[3];
      for (int map = 0; map < 3; ++map) {
        mean[map] = means.data() + map * across;
        down([&](int k) { return scratch.filtered(map, y + k); }, weights, across, mean[map]);
      }
      value += windows(job, (number * high + y) * across, across, mean[0], mean[1], mean[2],
                       scratch.coefficients(0) + edge, scratch.coefficients(1) + edge, scratch.coefficients(2) + edge,
                       terms.data());
    }
    for (int map = 0; map < 3; ++map) {
      float* out = scratch.spread(map, y);
      if (y < high)
        along(scratch.coefficients(map), weights, job.width, out);  // symmetric: a window's means are its transpose
      else
        std::fill(out, out + job.width, 0.0f);
      down([&](int k) { return scratch.spread(map, y + dssim_window - k); }, weights, job.width,
           spread.data() + map * job.width);
    }
    const float *t0 = spread.data(), *t1 = t0 + job.width, *t2 = t1 + job.width;
    const float *dr = d + std::int64_t(y) * job.width, *sr = s + std::int64_t(y) * job.width;
    float* out = gradient + first + std::int64_t(y) * job.width;
    for (int x = 0; x < job.width; ++x) out[x] = t0[x] + 2 * dr[x] * t1[x] + sr[x] * t2[x];
  }
  return value;
}

using Plane = double (*)(const DssimPlanes&, std::int64_t, Rows&, float*);

double plane_scalar(const DssimPlanes& job, std::int64_t number, Rows& scratch, float* gradient) {
  return plane(job, number, scratch, gradient);
}
#ifdef FACECURE_X86
FACECURE_AVX2 double plane_avx2(const DssimPlanes& job, std::int64_t number, Rows& scratch, float* gradient) {
  return plane(job, number, scratch, gradient);
}
FACECURE_AVX512 double plane_avx512(const DssimPlanes& job, std::int64_t number, Rows& scratch, float* gradient) {
  return plane(job, number, scratch, gradient);
}
#endif

Plane plane_for(Simd simd) {
#ifdef FACECURE_X86
  if (simd == Simd::avx512) return plane_avx512;
  if (simd == Simd::avx2) return plane_avx2;
#endif
  (void)simd;
  return plane_scalar;
}

}  // namespace

void dssim_planes(const DssimPlanes& job, double* value, float* gradient) {
  const Plane one = plane_for(job.simd);
#pragma omp parallel num_threads(job.threads)
  {
    Rows scratch(job.width + 2 * edge);
#pragma omp for schedule(static)
    for (std::int64_t number = 0; number < job.planes; ++number) value[number] = one(job, number, scratch, gradient);
  }
}

}  // namespace facecure
