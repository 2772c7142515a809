#include "bf16.h"

#include <bit>

namespace facecure {

void round_to_bf16(const float* vectors, std::int64_t rows, std::int64_t size, std::int64_t padded, int threads,
                   std::uint16_t* rounded) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* from = vectors + i * size;
    std::uint16_t* to = rounded + i * padded;
    for (std::int64_t k = 0; k < size; ++k) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(from[k]);
      to[k] = std::uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
    for (std::int64_t k = size; k < padded; ++k) to[k] = 0;
  }
}

}  // namespace facecure
