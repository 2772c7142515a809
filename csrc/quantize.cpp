#include "quantize.h"

#include <algorithm>
#include <cmath>

#include "simd.h"

namespace facecure {
namespace {

FACECURE_INLINE void quantize_row(const float* from, std::int64_t size, std::int64_t i, std::int8_t* to,
                                  const Quantized& result) {
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (std::int64_t k = 0; k < size; ++k) largest = std::max(largest, std::fabs(from[k]));
  const double scale = double(largest) / 127, inverse = largest > 0 ? 127 / double(largest) : 0;
  double square = 0, lost = 0;
  std::int32_t sum = 0;
#pragma omp simd reduction(+ : square, lost, sum)
  for (std::int64_t k = 0; k < size; ++k) {
    const double value = double(from[k]), code = std::nearbyint(value * inverse), rest = value - scale * code;
    to[k] = std::int8_t(code);
    sum += std::int32_t(code);
    square += value * value;
    lost += rest * rest;
  }
  result.scale[i] = scale, result.square[i] = square, result.lost[i] = lost, result.sums[i] = sum;
}

using Row = void (*)(const float*, std::int64_t, std::int64_t, std::int8_t*, const Quantized&);

void row_scalar(const float* from, std::int64_t size, std::int64_t i, std::int8_t* to, const Quantized& result) {
  quantize_row(from, size, i, to, result);
}
#ifdef FACECURE_X86
FACECURE_AVX512 void row_avx512(const float* from, std::int64_t size, std::int64_t i, std::int8_t* to,
                                const Quantized& result) {
  quantize_row(from, size, i, to, result);
}
#endif

}  // namespace

void quantize(const float* vectors, std::int64_t rows, std::int64_t size, std::int64_t padded, int threads,
              const Quantized& result) {
  Row row = row_scalar;
#ifdef FACECURE_X86
  if (best_simd() == Simd::avx512) row = row_avx512;
#endif
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < rows; ++i) {
    std::int8_t* to = result.codes + i * padded;
    row(vectors + i * size, size, i, to, result);
    std::fill(to + size, to + padded, std::int8_t(0));
  }
}

}  // namespace facecure
