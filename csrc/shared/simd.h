// Which instruction set the CPU kernels use, chosen once at run time.
#pragma once

#include <utility>

namespace facecure {

enum class Simd { scalar, avx2, avx512 };

inline constexpr std::pair<const char*, Simd> simd_names[] = {
    {"scalar", Simd::scalar}, {"avx2", Simd::avx2}, {"avx512", Simd::avx512}};

// The widest set this CPU and operating system support, or the narrower one that FACECURE_SIMD names: wider ones are
// then as good as absent, so that a machine can be measured and tested as if it were another. Throws
// std::invalid_argument where FACECURE_SIMD names an unknown set or one that is not here.
Simd best_simd();

// What FACECURE_SIMD says: "auto" unless set.
const char* simd_asked();

}  // namespace facecure

// Marks a function compiled for one instruction set. Each kernel is written once as a FACECURE_INLINE body
// and instantiated inside such functions; elsewhere than x86-64 with GCC or Clang, and where FACECURE_SCALAR_ONLY is
// defined, only the scalar one exists.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(FACECURE_SCALAR_ONLY)
#define FACECURE_X86 1
#define FACECURE_AVX2 __attribute__((target("avx2")))
#define FACECURE_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#endif
#if defined(__GNUC__)
#define FACECURE_INLINE inline __attribute__((always_inline))
#define FACECURE_INLINE_LAMBDA __attribute__((always_inline))
#else
#define FACECURE_INLINE inline
#define FACECURE_INLINE_LAMBDA
#endif

// Of the functions name_scalar, name_avx2 and name_avx512 the one for an instruction set.
#ifdef FACECURE_X86
#define FACECURE_CHOOSE(simd, name) \
  ((simd) == Simd::avx512 ? name##_avx512 : (simd) == Simd::avx2 ? name##_avx2 : name##_scalar)
#else
#define FACECURE_CHOOSE(simd, name) ((void)(simd), name##_scalar)
#endif
