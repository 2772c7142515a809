#include "segment_nearest/segment_nearest.h"

#include <limits>

#include "shared/simd.h"

namespace facecure {
namespace {

constexpr int together = 4;  // members at a time: four independent chains of additions hide their latency

// Eight doubles that the compiler lays into whatever registers the target has.
typedef double Eight __attribute__((vector_size(64)));

FACECURE_INLINE void load(const float* from, Eight& to) {
  typedef float EightFloats __attribute__((vector_size(32), aligned(4)));
  to = __builtin_convertvector(*reinterpret_cast<const EightFloats*>(from), Eight);
}

// numpy's pairwise summation of up to 128 terms: eight running sums, joined in pairs, then the rest.
template <int Members>
FACECURE_INLINE void short_sums(const float* x, const float* const* y, std::int64_t offset, std::int64_t size,
                                double* sums) {
  const std::int64_t whole = size - size % 8;
  Eight r[Members] = {};
  for (std::int64_t k = 0; k < whole; k += 8) {
    Eight probe, difference;
    load(x + k, probe);
#pragma GCC unroll 4
    for (int m = 0; m < Members; ++m) {
      load(y[m] + offset + k, difference);
      difference = probe - difference;
      r[m] += difference * difference;  // from 0: adding the first square is exact
    }
  }
  for (int m = 0; m < Members; ++m) {
    sums[m] = ((r[m][0] + r[m][1]) + (r[m][2] + r[m][3])) + ((r[m][4] + r[m][5]) + (r[m][6] + r[m][7]));
    for (std::int64_t k = whole; k < size; ++k) {
      const double difference = double(x[k]) - double(y[m][offset + k]);
      sums[m] += difference * difference;
    }
  }
}

using Sums = void (*)(const float*, const float* const*, std::int64_t, std::int64_t, double*);

template <int Members>
void sums_scalar(const float* x, const float* const* y, std::int64_t offset, std::int64_t size, double* sums) {
  short_sums<Members>(x, y, offset, size, sums);
}
#ifdef FACECURE_X86
template <int Members>
FACECURE_AVX2 void sums_avx2(const float* x, const float* const* y, std::int64_t offset, std::int64_t size,
                             double* sums) {
  short_sums<Members>(x, y, offset, size, sums);
}
template <int Members>
FACECURE_AVX512 void sums_avx512(const float* x, const float* const* y, std::int64_t offset, std::int64_t size,
                                 double* sums) {
  short_sums<Members>(x, y, offset, size, sums);
}
#endif

template <int Members>
Sums sums_for(Simd simd) {
#ifdef FACECURE_X86
  if (simd == Simd::avx512) return sums_avx512<Members>;
  if (simd == Simd::avx2) return sums_avx2<Members>;
#endif
  (void)simd;
  return sums_scalar<Members>;
}

// Longer sums are split in halves, the first a multiple of 8.
template <int Members>
void distances(Sums sums, const float* x, const float* const* y, std::int64_t offset, std::int64_t size,
               double* result) {
  if (size <= 128) return sums(x, y, offset, size, result);
  const std::int64_t half = size / 2 - (size / 2) % 8;
  double rest[Members];
  distances<Members>(sums, x, y, offset, half, result);
  distances<Members>(sums, x + half, y, offset + half, size - half, rest);
  for (int m = 0; m < Members; ++m) result[m] += rest[m];
}

}  // namespace

void segment_nearest(const SegmentNearest& job, double* distance, std::int64_t* row) {
  const Sums several = sums_for<together>(best_simd()), single = sums_for<1>(best_simd());
#pragma omp parallel for schedule(dynamic, 64) num_threads(job.threads)
  for (std::int64_t i = 0; i < job.pairs; ++i) {
    double* d = distance + 2 * i;
    std::int64_t* r = row + 2 * i;
    d[0] = d[1] = std::numeric_limits<double>::infinity();
    r[0] = r[1] = -1;
    const float* x = job.probes + job.probe[i] * job.size;
    const std::int64_t end = job.starts[job.segment[i] + 1];
    for (std::int64_t m = job.starts[job.segment[i]]; m < end;) {
      const int count = end - m >= together ? together : 1;
      const float* y[together];
      double found[together];
      for (int j = 0; j < count; ++j) y[j] = job.rows + job.members[m + j] * job.size;
      if (count == together)
        distances<together>(several, x, y, 0, job.size, found);
      else
        distances<1>(single, x, y, 0, job.size, found);
      for (int j = 0; j < count; ++j, ++m) {
        if (!(found[j] < std::numeric_limits<double>::infinity())) {  // of finite floats none gets there
          d[0] = std::numeric_limits<double>::quiet_NaN(), r[0] = job.members[m];
          m = end;
          break;
        }
        if (found[j] < d[0]) {
          d[1] = d[0], r[1] = r[0];
          d[0] = found[j], r[0] = job.members[m];
        } else if (found[j] < d[1]) {
          d[1] = found[j], r[1] = job.members[m];
        }
      }
    }
  }
}

}  // namespace facecure
