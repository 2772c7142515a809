// float32 rounded to bfloat16: half the bytes, eight significant bits, the exponents of float32.
#pragma once

#include <cstdint>

namespace facecure {

// Rounds (rows, size) float32 to nearest even into (rows, padded) bfloat16, padded ≥ size, the rest zero. Finite input.
void round_to_bf16(const float* vectors, std::int64_t rows, std::int64_t size, std::int64_t padded, int threads,
                   std::uint16_t* rounded);

}  // namespace facecure
