#include "simd.h"

namespace facecure {

Simd best_simd() {
#ifdef FACECURE_X86
  static const Simd best = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      return Simd::avx512;
    return __builtin_cpu_supports("avx2") ? Simd::avx2 : Simd::scalar;
  }();
  return best;
#else
  return Simd::scalar;
#endif
}

}  // namespace facecure
