#include "scan/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace facecure {
namespace {

constexpr std::int64_t piece = 1 << 15;  // values at a time
constexpr double to_even = 0x1.8p52;     // added and taken off, leaves the nearest integer of a small number

// Four doubles that the compiler lays into whatever registers the target has.
typedef double Four __attribute__((vector_size(32)));

FACECURE_INLINE void load(const float* from, Four& to) {
  typedef float FourFloats __attribute__((vector_size(16)));
  FourFloats values;
  std::memcpy(&values, from, sizeof values);
  to = __builtin_convertvector(values, Four);
}

// Magnitudes of floats are in the order of their bits, with infinity and then NaN on top.
FACECURE_INLINE std::uint32_t largest_bits(const float* values, std::int64_t count) {
  std::uint32_t largest = 0;
#pragma omp simd reduction(max : largest)
  for (std::int64_t k = 0; k < count; ++k) {
    std::uint32_t bits;
    std::memcpy(&bits, values + k, sizeof bits);
    bits &= 0x7FFFFFFF;
    largest = std::max(largest, bits);
  }
  return largest;
}

FACECURE_INLINE void quantize_row(const Quantize& job, std::int64_t i, const Quantized& result) {
  const float* from = job.table + (job.index ? job.index[i] : i) * job.width;
  std::int8_t* to = result.codes + i * job.size;
  const double largest = double(std::bit_cast<float>(largest_bits(from, job.width)));
  const double scale = largest / job.limit, inverse = largest > 0 ? job.limit / largest : 0;
  std::int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t k = 0; k < job.width; ++k) {
    const auto code = std::int32_t((double(from[k]) * inverse + to_even) - to_even);
    to[k] = std::int8_t(code);
    sum += code;
  }
  std::fill(to + job.width, to + job.size, std::int8_t(0));
  // eight running sums, joined in one order, so that every instruction set rounds alike
  Four square[2] = {}, lost[2] = {};
  const auto add = [&](const float* values, int half) FACECURE_INLINE_LAMBDA {
    Four value;
    load(values, value);
    const Four rest = value - scale * ((value * inverse + to_even) - to_even);
    square[half] += value * value;
    lost[half] += rest * rest;
  };
  std::int64_t k = 0;
  for (; k + 8 <= job.width; k += 8) add(from + k, 0), add(from + k + 4, 1);
  if (k < job.width) {
    float last[8] = {};
    std::copy(from + k, from + job.width, last);
    add(last, 0), add(last + 4, 1);
  }
  square[0] += square[1], lost[0] += lost[1];
  result.scale[i] = scale, result.sums[i] = sum;
  result.square[i] = (square[0][0] + square[0][1]) + (square[0][2] + square[0][3]);
  result.lost[i] = (lost[0][0] + lost[0][1]) + (lost[0][2] + lost[0][3]);
}

void row_scalar(const Quantize& job, std::int64_t i, const Quantized& result) { quantize_row(job, i, result); }
std::uint32_t bits_scalar(const float* values, std::int64_t count) { return largest_bits(values, count); }
#ifdef FACECURE_X86
FACECURE_AVX2 void row_avx2(const Quantize& job, std::int64_t i, const Quantized& result) {
  quantize_row(job, i, result);
}
FACECURE_AVX512 void row_avx512(const Quantize& job, std::int64_t i, const Quantized& result) {
  quantize_row(job, i, result);
}
FACECURE_AVX2 std::uint32_t bits_avx2(const float* values, std::int64_t count) { return largest_bits(values, count); }
FACECURE_AVX512 std::uint32_t bits_avx512(const float* values, std::int64_t count) {
  return largest_bits(values, count);
}
#endif

}  // namespace

void quantize(const Quantize& job, const Quantized& result) {
  const auto row = FACECURE_CHOOSE(job.simd, row);
#pragma omp parallel for schedule(static) num_threads(job.threads)
  for (std::int64_t i = 0; i < job.count; ++i) row(job, i, result);
}

float largest_magnitude(const float* values, std::int64_t count, int threads, Simd simd) {
  const auto bits = FACECURE_CHOOSE(simd, bits);
  std::uint32_t largest = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(max : largest)
  for (std::int64_t k = 0; k < count; k += piece)
    largest = std::max(largest, bits(values + k, std::min(piece, count - k)));
  return std::bit_cast<float>(largest);
}

}  // namespace facecure
