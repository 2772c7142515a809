#include "shared/simd.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace facecure {
namespace {

Simd widest() {
#ifdef FACECURE_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return Simd::avx512;
  if (__builtin_cpu_supports("avx2")) return Simd::avx2;
#endif
  return Simd::scalar;
}

Simd chosen() {
  const std::string asked = simd_asked();
  const Simd here = widest();
  if (asked == "auto") return here;
  for (const auto& [name, simd] : simd_names)
    if (asked == name) {
      if (simd <= here) return simd;
      throw std::invalid_argument("FACECURE_SIMD=" + asked + ": this CPU does not support it; unset it or name less");
    }
  throw std::invalid_argument("FACECURE_SIMD=" + asked + " is none of auto, scalar, avx2, avx512");
}

}  // namespace

const char* simd_asked() {
  const char* asked = std::getenv("FACECURE_SIMD");
  return asked && *asked ? asked : "auto";
}

Simd best_simd() {
  static const Simd best = chosen();
  return best;
}

}  // namespace facecure
