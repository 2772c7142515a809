#include "fawkes_step/fawkes_step.h"

#include "dssim_planes/plane.h"
#include "fawkes_step/value.h"

namespace facecure {
namespace {

// Judged pictures kept, modifiers moved.
template <int lanes>
FACECURE_INLINE void move(const FawkesStep& job, const Band& band) {
  const std::int64_t picture = band.plane / 3, width = job.source.width, count = (band.until - band.from) * width;
  const std::int64_t at = (band.plane * job.source.height + band.from) * width;
  const int channel = int(band.plane % 3);
  const FawkesMove move = job.move;  // a copy, which no store can change
  const float dssim_weight = dssim_weight_of(job, picture), feature_weight = feature_weight_of(job, picture, channel);
  const float bound = job.bound, furthest = job.furthest;
  const float *centred = job.source.centred + at, *by_dssim = job.by_dssim + at;
  const float* by_feature = move.by_feature + at + shown_offset(job, channel);
  float *modifier = job.modifier + at, *squares = job.squares + at, *steps = job.steps + at;
  const float* pictures = job.pictures + at;
  float* best = move.better[picture] ? job.best + at : nullptr;
  by_vectors<lanes>(count, [&](std::int64_t x, auto some) FACECURE_INLINE_LAMBDA {
    const auto at = [&](const float* values) FACECURE_INLINE_LAMBDA { return load_some<lanes>(values + x, some); };
    const auto next = moved<Floats<lanes>>(move, bound, furthest, at(modifier), at(squares), at(steps), at(centred),
                                           at(by_dssim), at(by_feature), dssim_weight, feature_weight);
    if (best) store_some(best + x, at(pictures), some);
    store_some(modifier + x, next.modifier, some);
    store_some(squares + x, next.squares, some);
    store_some(steps + x, next.steps, some);
  });
  if (move.forget) {
    std::fill_n(squares, count, 0.0f);
    std::fill_n(steps, count, 0.0f);
  }
}

// The next pictures and how they are judged.
template <int lanes>
FACECURE_INLINE void judge(const FawkesStep& job, const Band& band, DssimScratch& scratch, double* totals) {
  const std::int64_t first = band.plane * job.source.height * job.source.width;
  const int width = job.source.width, channel = int(band.plane % 3), shown_plane = plane_of(job.view, channel);
  const float mean = job.view.mean[shown_plane], std = job.view.std[shown_plane];
  const float bound = job.bound, furthest = job.furthest;
  const auto next = [&](int y, float* d) FACECURE_INLINE_LAMBDA {
    const std::int64_t at = first + std::int64_t(y) * width;
    const bool ours = y >= band.from && y < band.until;
    const float *modifier = job.modifier + at, *centred = job.source.centred + at;
    float* picture = job.pictures + at;
    float* shown = job.shown ? job.shown + at + shown_offset(job, channel) : nullptr;
    by_whole_vectors<lanes>(width, [&](std::int64_t x, auto some) FACECURE_INLINE_LAMBDA {
      const auto s = load_some<lanes>(centred + x, some);
      const auto perturbation = bounded(load_some<lanes>(modifier + x, some), s, bound, furthest);
      const auto level = s + dssim_centre + perturbation;
      store(d + x, perturbation);
      if (ours) store_some(picture + x, level, some);
      if (ours && shown) store_some(shown + x, (level - mean) / std, some);
    });
  };
  dssim_band<lanes>(job.source, band, scratch, next, job.by_dssim + first, totals);
}

void move_scalar(const FawkesStep& job, const Band& band) { move<4>(job, band); }
void judge_scalar(const FawkesStep& job, const Band& band, DssimScratch& scratch, double* totals) {
  judge<4>(job, band, scratch, totals);
}
#ifdef FACECURE_X86
FACECURE_AVX2 void move_avx2(const FawkesStep& job, const Band& band) { move<8>(job, band); }
FACECURE_AVX2 void judge_avx2(const FawkesStep& job, const Band& band, DssimScratch& scratch, double* totals) {
  judge<8>(job, band, scratch, totals);
}
FACECURE_AVX512 void move_avx512(const FawkesStep& job, const Band& band) { move<16>(job, band); }
FACECURE_AVX512 void judge_avx512(const FawkesStep& job, const Band& band, DssimScratch& scratch, double* totals) {
  judge<16>(job, band, scratch, totals);
}
#endif

}  // namespace

void fawkes_step(const FawkesStep& job, double* dssim) {
  const auto one_move = FACECURE_CHOOSE(job.simd, move);
  const auto one = FACECURE_CHOOSE(job.simd, judge);
  const DssimSource& source = job.source;
  const Bands bands(source.planes, source.height, job.threads, DssimScratch::least);
  std::vector<DssimScratch> scratch(std::size_t(bands.threads()), DssimScratch(source.width));
  DssimTotals totals(source);
  bands.each(
      [&](int, const Band& band) {
        if (job.move.by_feature) one_move(job, band);
      },
      [&](int thread, const Band& band) { one(job, band, scratch[std::size_t(thread)], totals.plane(band.plane)); });
  totals.sum(dssim);
}

}  // namespace facecure
