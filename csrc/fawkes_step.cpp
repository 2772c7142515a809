#include "fawkes_step.h"

#include "dssim_plane.h"
#include "fawkes_value.h"

namespace facecure {
namespace {

// Row `at` of everything, `width` values: judged picture kept, modifier moved.
FACECURE_INLINE void move_row(const FawkesStep& job, std::int64_t picture, int channel, std::int64_t at) {
  const FawkesMove move = *job.move;  // a copy, which no store can change
  const float dssim_weight = move.dssim_weight[picture], feature_weight = weight_of(job, picture, channel);
  const float bound = job.bound;
  const float *centred = job.source.centred + at, *by_dssim = job.by_dssim + at;
  const float* by_feature = move.by_feature + at + shown_offset(job, channel);
  const float* __restrict judged = job.pictures + at;
  float *__restrict modifier = job.modifier + at, *__restrict squares = job.squares + at;
  float *__restrict steps = job.steps + at, *__restrict best = job.best + at;
  const int width = job.source.width;
  if (move.better[picture]) std::copy_n(judged, width, best);
#pragma GCC ivdep  // more arrays than the compiler would check for overlap
  for (int x = 0; x < width; ++x) {
    const Moved next = moved(move, bound, modifier[x], squares[x], steps[x], centred[x], by_dssim[x], by_feature[x],
                             dssim_weight, feature_weight);
    modifier[x] = next.modifier, squares[x] = next.squares, steps[x] = next.steps;
  }
  if (move.forget) {
    std::fill_n(squares, width, 0.0f);
    std::fill_n(steps, width, 0.0f);
  }
}

FACECURE_INLINE double plane(const FawkesStep& job, std::int64_t number, DssimScratch& scratch) {
  const int width = job.source.width, channel = int(number % 3);
  const float mean = job.mean[channel], std = job.std[channel];
  const std::int64_t first = number * job.source.height * width;
  const auto next = [&](int y, float* __restrict d) FACECURE_INLINE_LAMBDA {
    const std::int64_t at = first + std::int64_t(y) * width;
    if (job.move) move_row(job, number / 3, channel, at);
    const float *__restrict modifier = job.modifier + at, *__restrict centred = job.source.centred + at;
    float* __restrict picture = job.pictures + at;
    const float bound = job.bound;
#pragma GCC ivdep
    for (int x = 0; x < width; ++x) {
      d[x] = bounded(bend(modifier[x], centred[x]).beyond, bound);
      picture[x] = centred[x] + fawkes_centre + d[x];
    }
    if (!job.shown) return;
    float* __restrict shown = job.shown + at + shown_offset(job, channel);
    for (int x = 0; x < width; ++x) shown[x] = (picture[x] - mean) / std;
  };
  return dssim_plane(job.source, number, scratch, next, job.by_dssim + first);
}

double plane_scalar(const FawkesStep& job, std::int64_t number, DssimScratch& scratch) {
  return plane(job, number, scratch);
}
#ifdef FACECURE_X86
FACECURE_AVX2 double plane_avx2(const FawkesStep& job, std::int64_t number, DssimScratch& scratch) {
  return plane(job, number, scratch);
}
FACECURE_AVX512 double plane_avx512(const FawkesStep& job, std::int64_t number, DssimScratch& scratch) {
  return plane(job, number, scratch);
}
#endif

}  // namespace

void fawkes_step(const FawkesStep& job, double* dssim) {
  const auto one = FACECURE_CHOOSE(job.simd, plane);
#pragma omp parallel num_threads(job.threads)
  {
    DssimScratch scratch(job.source.width);
#pragma omp for schedule(dynamic)
    for (std::int64_t number = 0; number < job.source.planes; ++number) dssim[number] = one(job, number, scratch);
  }
}

}  // namespace facecure
