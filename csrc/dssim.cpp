#include "dssim.h"

#include "dssim_plane.h"

namespace facecure {
namespace {

FACECURE_INLINE double plane(const DssimSource& source, const float* perturbation, std::int64_t number,
                             DssimScratch& scratch, float* gradient) {
  const std::int64_t first = number * source.height * source.width;
  const auto copy = [&](int y, float* row) {
    std::copy_n(perturbation + first + std::int64_t(y) * source.width, source.width, row);
  };
  return dssim_plane(source, number, scratch, copy, gradient + first);
}

double plane_scalar(const DssimSource& source, const float* d, std::int64_t number, DssimScratch& scratch, float* out) {
  return plane(source, d, number, scratch, out);
}
#ifdef FACECURE_X86
FACECURE_AVX2 double plane_avx2(const DssimSource& source, const float* d, std::int64_t number, DssimScratch& scratch,
                                float* out) {
  return plane(source, d, number, scratch, out);
}
FACECURE_AVX512 double plane_avx512(const DssimSource& source, const float* d, std::int64_t number,
                                    DssimScratch& scratch, float* out) {
  return plane(source, d, number, scratch, out);
}
#endif

}  // namespace

void dssim_planes(const DssimSource& source, const float* perturbation, int threads, Simd simd, double* value,
                  float* gradient) {
  const auto one = FACECURE_CHOOSE(simd, plane);
#pragma omp parallel num_threads(threads)
  {
    DssimScratch scratch(source.width);
#pragma omp for schedule(dynamic)
    for (std::int64_t number = 0; number < source.planes; ++number)
      value[number] = one(source, perturbation, number, scratch, gradient);
  }
}

}  // namespace facecure
