#include <algorithm>
#include <limits>

#include "segment_nearest/segment_nearest.h"
#include "shared/simd.h"

namespace facecure {
namespace {

constexpr int together = 4;  // distances at a time: four independent chains of additions hide their latency
constexpr std::int64_t chunk = 64;

// Vectors to be compared, x[i] with y[i].
struct Comparison {
  const float* x[together];
  const float* y[together];
};

// numpy's pairwise summation of up to 128 terms: eight running sums, joined in pairs, then the rest. With `alike` all x
// are the first. Plain loops: GCC takes vector types apart in functions that are only inlined where the target has
// them.
template <bool alike>
FACECURE_INLINE void short_sums(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  const std::int64_t whole = from + size - size % 8;
  double r[together][8] = {};
  for (std::int64_t k = from; k < whole; k += 8) {
#pragma GCC unroll 4
    for (int m = 0; m < together; ++m) {
      const float *x = of.x[alike ? 0 : m] + k, *y = of.y[m] + k;
#pragma omp simd
      for (int i = 0; i < 8; ++i) {
        const double difference = double(x[i]) - double(y[i]);
        r[m][i] += difference * difference;  // from 0: adding the first square is exact
      }
    }
  }
  for (int m = 0; m < together; ++m) {
    sums[m] = ((r[m][0] + r[m][1]) + (r[m][2] + r[m][3])) + ((r[m][4] + r[m][5]) + (r[m][6] + r[m][7]));
    for (std::int64_t k = whole; k < from + size; ++k) {
      const double difference = double(of.x[m][k]) - double(of.y[m][k]);
      sums[m] += difference * difference;
    }
  }
}

using Sums = void (*)(const Comparison&, std::int64_t, std::int64_t, double*);

void alike_scalar(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  short_sums<true>(of, from, size, sums);
}
void mixed_scalar(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  short_sums<false>(of, from, size, sums);
}
#ifdef FACECURE_X86
FACECURE_AVX2 void alike_avx2(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  short_sums<true>(of, from, size, sums);
}
FACECURE_AVX2 void mixed_avx2(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  short_sums<false>(of, from, size, sums);
}
FACECURE_AVX512 void alike_avx512(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  short_sums<true>(of, from, size, sums);
}
FACECURE_AVX512 void mixed_avx512(const Comparison& of, std::int64_t from, std::int64_t size, double* sums) {
  short_sums<false>(of, from, size, sums);
}
#endif

// Longer sums are split in halves, the first a multiple of 8.
void distances(Sums sums, const Comparison& of, std::int64_t from, std::int64_t size, double* result) {
  if (size <= 128) return sums(of, from, size, result);
  const std::int64_t half = size / 2 - (size / 2) % 8;
  double rest[together];
  distances(sums, of, from, half, result);
  distances(sums, of, from + half, size - half, rest);
  for (int m = 0; m < together; ++m) result[m] += rest[m];
}

// Collects what is to be compared, whichever pairs it belongs to, and keeps the two nearest of each pair.
class Nearest {
 public:
  Nearest(const SegmentNearest& job, double* distance, std::int64_t* row)
        : job_(job), distance_(distance), row_(row), alike_(FACECURE_CHOOSE(best_simd(), alike)),
          mixed_(FACECURE_CHOOSE(best_simd(), mixed)) {}

  void start(std::int64_t pair) {
    std::fill_n(distance_ + 2 * pair, 2, std::numeric_limits<double>::infinity());
    std::fill_n(row_ + 2 * pair, 2, -1);
  }

  void compare(std::int64_t pair, std::int64_t row) {
    waiting_.x[count_] = job_.probes + job_.probe[pair] * job_.size;
    waiting_.y[count_] = job_.rows + row * job_.size;
    pair_[count_] = pair, member_[count_] = row;
    if (++count_ == together) decide();
  }

  void decide() {
    if (count_ == 0) return;
    for (int i = count_; i < together; ++i) waiting_.x[i] = waiting_.x[0], waiting_.y[i] = waiting_.y[0];
    const bool alike = std::all_of(waiting_.x + 1, waiting_.x + together, [&](auto x) { return x == waiting_.x[0]; });
    double found[together];
    distances(alike ? alike_ : mixed_, waiting_, 0, job_.size, found);
    for (int i = 0; i < count_; ++i) take(pair_[i], member_[i], found[i]);
    count_ = 0;
  }

 private:
  void take(std::int64_t pair, std::int64_t row, double found) {
    double* d = distance_ + 2 * pair;
    std::int64_t* r = row_ + 2 * pair;
    if (d[0] != d[0]) return;
    if (!(found < std::numeric_limits<double>::infinity())) {  // of finite floats none gets there
      d[0] = std::numeric_limits<double>::quiet_NaN(), r[0] = row;
    } else if (found < d[0]) {
      d[1] = d[0], r[1] = r[0];
      d[0] = found, r[0] = row;
    } else if (found < d[1]) {
      d[1] = found, r[1] = row;
    }
  }

  const SegmentNearest& job_;
  double* distance_;
  std::int64_t* row_;
  Sums alike_, mixed_;
  Comparison waiting_;
  std::int64_t pair_[together], member_[together];
  int count_ = 0;
};

}  // namespace

void segment_nearest(const SegmentNearest& job, double* distance, std::int64_t* row) {
#pragma omp parallel for schedule(dynamic) num_threads(job.threads)
  for (std::int64_t first = 0; first < job.pairs; first += chunk) {
    Nearest nearest(job, distance, row);
    for (std::int64_t pair = first; pair < std::min(first + chunk, job.pairs); ++pair) {
      nearest.start(pair);
      const std::int64_t segment = job.segment[pair];
      for (std::int64_t m = job.starts[segment]; m < job.starts[segment + 1]; ++m)
        nearest.compare(pair, job.members[m]);
    }
    nearest.decide();
  }
}

}  // namespace facecure
