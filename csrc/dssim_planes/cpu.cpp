#include "dssim_planes/dssim_planes.h"

#include "dssim_planes/plane.h"

namespace facecure {
namespace {

template <int lanes>
FACECURE_INLINE void band(const DssimSource& source, const float* perturbation, const Band& band, DssimScratch& scratch,
                          float* gradient, double* totals) {
  const std::int64_t first = band.plane * source.height * source.width;
  const auto copy = [&](int y, float* row) {
    std::copy_n(perturbation + first + std::int64_t(y) * source.width, source.width, row);
  };
  dssim_band<lanes>(source, band, scratch, copy, gradient + first, totals);
}

void band_scalar(const DssimSource& source, const float* d, const Band& one, DssimScratch& scratch, float* gradient,
                 double* totals) {
  band<4>(source, d, one, scratch, gradient, totals);
}
#ifdef FACECURE_X86
FACECURE_AVX2 void band_avx2(const DssimSource& source, const float* d, const Band& one, DssimScratch& scratch,
                             float* gradient, double* totals) {
  band<8>(source, d, one, scratch, gradient, totals);
}
FACECURE_AVX512 void band_avx512(const DssimSource& source, const float* d, const Band& one, DssimScratch& scratch,
                                 float* gradient, double* totals) {
  band<16>(source, d, one, scratch, gradient, totals);
}
#endif

}  // namespace

void dssim_planes(const DssimSource& source, const float* perturbation, int threads, Simd simd, double* value,
                  float* gradient) {
  const auto one = FACECURE_CHOOSE(simd, band);
  const Bands bands(source.planes, source.height, threads, DssimScratch::least);
  std::vector<DssimScratch> scratch(std::size_t(bands.threads()), DssimScratch(source.width));
  DssimTotals totals(source);
  bands.each([](int, const Band&) {},
             [&](int thread, const Band& band) {
               one(source, perturbation, band, scratch[std::size_t(thread)], gradient, totals.plane(band.plane));
             });
  totals.sum(value);
}

}  // namespace facecure
