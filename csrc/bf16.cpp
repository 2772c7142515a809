#include "bf16.h"

#include <bit>
#include <cmath>

namespace facecure {

void round_to_bf16(const float* vectors, std::int64_t rows, std::int64_t size, std::int64_t padded, int threads,
                   std::uint16_t* rounded, double* lost) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* from = vectors + i * size;
    std::uint16_t* to = rounded + i * padded;
    double sum = 0;
    for (std::int64_t k = 0; k < size; ++k) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(from[k]);
      const std::uint32_t even = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
      to[k] = std::uint16_t(even >> 16);
      const double difference = double(from[k]) - double(std::bit_cast<float>(even));
      sum += difference * difference;
    }
    for (std::int64_t k = size; k < padded; ++k) to[k] = 0;
    lost[i] = std::sqrt(sum);
  }
}

}  // namespace facecure
