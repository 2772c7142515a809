// Vectors as eight-bit integers times one scale each, with the length of what that loses.
#pragma once

#include <cstdint>

namespace facecure {

struct Quantized {
  std::int8_t* codes;    // (rows, padded): −127…127, the rest zero
  std::int32_t* sums;    // (rows): Σ codes
  double* scale;         // (rows): largest |value| / 127
  double* square;        // (rows): Σ value²
  double* lost;          // (rows): Σ (value − scale·code)²
};

// Quantises (rows, size) finite float32 to nearest even; padded ≥ size.
void quantize(const float* vectors, std::int64_t rows, std::int64_t size, std::int64_t padded, int threads,
              const Quantized& result);

}  // namespace facecure
