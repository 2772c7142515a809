// A band of one plane of dssim_planes, its perturbation made row by row while it streams through.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "dssim_planes/dssim_planes.h"
#include "dssim_planes/value.h"
#include "shared/bands.h"
#include "shared/filter.h"
#include "shared/simd.h"

namespace facecure {

// The last rows of something, in order.
struct Ring {
  float* rows[dssim_window];
  float* next() {  // forgets the first
    std::rotate(rows, rows + 1, rows + dssim_window);
    return rows[dssim_window - 1];
  }
};

// Rows of scratch for planes of one width; a thread needs one of these. Rows are as long as whole vectors need, and
// what lies beyond their values is never used.
class DssimScratch {
 public:
  static constexpr int edge = dssim_window - 1, maps = 3;
  static constexpr int least = 2 * edge;  // rows of a band: what it reads beyond them is read and filtered twice

  explicit DssimScratch(int width)
        : row_(whole_vectors(width)), wide_(whole_vectors(width + 2 * edge) + most_lanes),
          memory_(std::size_t((2 * row_ + 2 * maps * wide_ + 2 * dssim_window * maps * row_) / most_lanes)) {}

  void clear() { std::fill(memory_.begin(), memory_.end(), Aligned{}); }
  float* perturbation() { return at(0); }
  float* values() { return at(row_); }  // A + B − AB of a row of windows, then zeros
  float* columns(int map) { return at(2 * row_ + map * wide_); }
  float* coefficients(int map) { return at(2 * row_ + (maps + map) * wide_); }  // with `edge` zeros on both sides
  // Rows of three maps, a vector of each in turn: the last ones of d, s·d and d², and of the coefficients spread along
  // the rows.
  Ring products() { return ring(0); }
  Ring spread() { return ring(dssim_window); }

 private:
  struct alignas(sizeof(float) * most_lanes) Aligned {
    float values[most_lanes];
  };
  float* at(std::int64_t value) { return reinterpret_cast<float*>(memory_.data()) + value; }

  Ring ring(int first) {
    Ring ring;
    for (int k = 0; k < dssim_window; ++k) ring.rows[k] = at(2 * row_ + 2 * maps * wide_ + (first + k) * maps * row_);
    return ring;
  }

  std::int64_t row_, wide_;
  std::vector<Aligned> memory_;  // rows start where whole vectors do
};

// Σ A + B − AB over each row of windows of each plane: added up in their order, whoever wrote them.
class DssimTotals {
 public:
  explicit DssimTotals(const DssimSource& source)
        : high_(source.height - DssimScratch::edge), rows_(std::size_t(source.planes * high_)) {}
  double* plane(std::int64_t number) { return rows_.data() + number * high_; }
  void sum(double* value) const {
    for (auto row = rows_.begin(); row != rows_.end(); row += high_) *value++ = std::accumulate(row, row + high_, 0.0);
  }

 private:
  std::int64_t high_;
  std::vector<double> rows_;
};

namespace dssim_detail {

// Weighted means of one map down the columns of the rows `from`.
template <int lanes>
FACECURE_INLINE Floats<lanes> means(const Ring& from, std::int64_t x, int map, const Weights<dssim_window>& weights) {
  const auto row = [&](int k) FACECURE_INLINE_LAMBDA { return load<lanes>(from.rows[k] + 3 * x + map * lanes); };
  return weighted<dssim_window>(row, weights.of);
}

}  // namespace dssim_detail

// Writes the gradient of a band's rows as dssim_planes does, and into `totals` (height − 10) the sum of A + B − AB over
// each row of windows that starts in the band. `perturb(y, row)` writes row y of the perturbation; it is asked once, in
// order, for each row that is no more than edge away.
template <int lanes, class Perturb>
FACECURE_INLINE void dssim_band(const DssimSource& source, const Band& band, DssimScratch& scratch,
                                const Perturb& perturb, float* gradient, double* totals) {
  using namespace dssim_detail;
  using F = Floats<lanes>;
  constexpr int edge = DssimScratch::edge;
  const int width = source.width, across = width - edge, high = source.height - edge;
  const float* s = source.centred + band.plane * source.height * width;
  const Weights<dssim_window> weights(source.weights);
  Ring products = scratch.products(), spreads = scratch.spread();
  scratch.clear();
  for (int y = std::max(0, band.from - edge), read = y; y < band.until; ++y) {
    float* const spread = spreads.next();
    if (y < high) {
      for (; read <= y + edge; ++read) {  // rows that window row y needs
        float *d = scratch.perturbation(), *to = products.next();
        const float* sr = s + std::int64_t(read) * width;
        perturb(read, d);
        by_vectors<lanes>(width, [&](std::int64_t x, auto some) FACECURE_INLINE_LAMBDA {
          const F dx = load<lanes>(d + x), sx = load_some<lanes>(sr + x, some);
          store(to + 3 * x, dx), store(to + 3 * x + lanes, dx * sx), store(to + 3 * x + 2 * lanes, dx * dx);
        });
      }
      float *d = scratch.columns(0), *sd = scratch.columns(1), *dd = scratch.columns(2);
      by_vectors<lanes>(width, [&](std::int64_t x, auto) FACECURE_INLINE_LAMBDA {
        store(d + x, means<lanes>(products, x, 0, weights));
        store(sd + x, means<lanes>(products, x, 1, weights));
        store(dd + x, means<lanes>(products, x, 2, weights));
      });
      const std::int64_t window = (band.plane * high + y) * across;
      const float *centred_mean = source.centred_mean + window, *contrast = source.contrast + window;
      float *by_mean = scratch.coefficients(0) + edge, *by_variance = scratch.coefficients(1) + edge;
      float *by_covariance = scratch.coefficients(2) + edge, *values = scratch.values();
      using Sum = typename Vector<lanes>::Doubles;
      alignas(64) double sums[most_lanes] = {};
      by_whole_vectors<lanes>(across, [&](std::int64_t x, auto some) FACECURE_INLINE_LAMBDA {
        const auto found = dssim_window_value<F>(
            along<lanes>(d + x, weights), along<lanes>(sd + x, weights), along<lanes>(dd + x, weights),
            load_some<lanes>(centred_mean + x, some), load_some<lanes>(contrast + x, some));
        store_some(by_mean + x, found.by_mean, some);
        store_some(by_variance + x, found.by_variance, some);
        store_some(by_covariance + x, found.by_covariance, some);
        store_some(values + x, found.value, some);
      });
      for (int x = 0; x < across; x += lanes) {
        Sum sum;
        std::memcpy(&sum, sums + x % most_lanes, sizeof sum);
        sum += __builtin_convertvector(load<lanes>(values + x), Sum);
        std::memcpy(sums + x % most_lanes, &sum, sizeof sum);
      }
      if (y >= band.from) totals[y] = std::accumulate(sums, sums + most_lanes, 0.0);
      by_vectors<lanes>(width, [&](std::int64_t x, auto) FACECURE_INLINE_LAMBDA {  // the transpose: it is symmetric
        store(spread + 3 * x, along<lanes>(by_mean - edge + x, weights));
        store(spread + 3 * x + lanes, along<lanes>(by_variance - edge + x, weights));
        store(spread + 3 * x + 2 * lanes, along<lanes>(by_covariance - edge + x, weights));
      });
    } else {
      std::fill_n(spread, 3 * whole_vectors(width), 0.0f);
    }
    if (y < band.from) continue;
    const float *sr = s + std::int64_t(y) * width, *dr = products.rows[y - std::min(y, high - 1)];
    float* out = gradient + std::int64_t(y) * width;
    by_vectors<lanes>(width, [&](std::int64_t x, auto some) FACECURE_INLINE_LAMBDA {
      const F t0 = means<lanes>(spreads, x, 0, weights), t1 = means<lanes>(spreads, x, 1, weights);
      const F t2 = means<lanes>(spreads, x, 2, weights);
      store_some(out + x, t0 + 2.0f * load<lanes>(dr + 3 * x) * t1 + load_some<lanes>(sr + x, some) * t2, some);
    });
  }
}

}  // namespace facecure
