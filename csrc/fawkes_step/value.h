// What one value goes through in a Fawkes step; the same operations on the CPU and on CUDA devices.
#pragma once

#include <cmath>

#include "fawkes_step/fawkes_step.h"
#include "shared/filter.h"
#include "shared/value.h"

namespace facecure {

inline constexpr double ln2 = 0.6931471805599453;

template <class F>
struct Bent {
  F beyond;  // grey levels from the source
  F slope;   // its derivative with respect to the modifier
};

// Where modifier m takes source s = centred + dssim_centre: to (tanh z / c + ½) · 255, z = artanh((s / 255 − ½) c) +
// m. By the addition theorem, so that a small change keeps its digits and a source of 0 or 255 its slope: with t = tanh
// m and τ = (s / 255 − ½) c,  tanh z − τ = t (1 − τ²) / (1 + τ t).
template <class F>
FACECURE_VALUE Bent<F> bend(const F& m, const F& centred, float furthest) {
  constexpr double c = 2 - 1e-6;
  const F above = (centred + dssim_centre) * float(c / 255) + 5e-7f;        // 1 + τ
  const F below = (255 - dssim_centre - centred) * float(c / 255) + 5e-7f;  // 1 − τ
  // e^2m = 2^k (q + n) / (q − n), where n / q is Padé's tanh of m − k ln 2 / 2: within 2e-8, as that is at most ln 2
  // / 4.
  constexpr float to_whole = 3 << 22;  // the sum's last digit counts one
  const F x = clamped(m, -furthest, furthest), sum = x * float(2 / ln2) + to_whole;
  const F r = x - (sum - to_whole) * float(ln2 / 2), r2 = r * r;
  const F n = r * (1.0f + r2 * float(1 / 15.)), q = 1.0f + r2 * 0.4f, power = power_of_two(sum);
  const F up = q + n, down = q - n,
          half = (power * 0.5f - 0.5f) * up + n;  // power up : down : half = 1 + t : 1 − t : t
  const F whole = 2.0f / (power * above * up + down * below), part = above * below * float(255 / c) * whole;
  return {half * part, power * up * down * whole * part};
}

template <class F>
struct Moved {
  F modifier, squares, steps;
};

// One Adadelta step of a modifier (docs/protocol.md §3).
template <class F>
FACECURE_VALUE Moved<F> adadelta(const FawkesMove& move, const F& modifier, const F& before, const F& steps,
                                 const F& gradient) {
  const F squares = move.rho * before + (1 - move.rho) * (gradient * gradient);
  const F step = gradient * square_root((steps + move.epsilon) / (squares + move.epsilon));
  F next = modifier - move.rate * step;
  if (move.kick != 0) next -= move.kick * select(gradient > 0, all<F>(1), select(gradient < 0, all<F>(-1), F{}));
  return {next, squares, move.rho * steps + (1 - move.rho) * (step * step)};
}

// The modifier and its accumulators after a move, given the gradients with respect to its picture.
template <class F>
FACECURE_VALUE Moved<F> moved(const FawkesMove& move, float bound, float furthest, const F& modifier, const F& squares,
                              const F& steps, const F& centred, const F& by_dssim, const F& by_feature,
                              float dssim_weight, float feature_weight) {
  const Bent<F> bent = bend(modifier, centred, furthest);
  const F gradient = dssim_weight * by_dssim + feature_weight * by_feature;
  const F back = bent.beyond * gradient, bounded = clamped(bent.beyond, -bound, bound);
  const F inside = select(back > (move.frozen ? INFINITY : 0.0f), bent.beyond, bounded);
  return adadelta(move, modifier, squares, steps, select(bent.beyond == inside, gradient * bent.slope, F{}));
}

// The perturbation to which a modifier leads.
template <class F>
FACECURE_VALUE F bounded(const F& modifier, const F& centred, float bound, float furthest) {
  return clamped(bend(modifier, centred, furthest).beyond, -bound, bound);
}

// From a value of a plane to its place in `shown`.
FACECURE_VALUE std::int64_t shown_offset(const FawkesStep& job, int channel) {
  const std::int64_t area = std::int64_t(job.source.height) * job.source.width;
  return job.shown ? (plane_of(job.view, channel) - channel) * area : 0;
}

// What a value of dssim_planes' gradient counts.
FACECURE_VALUE float dssim_weight_of(const FawkesStep& job, std::int64_t picture) {
  const std::int64_t high = job.source.height - dssim_window + 1, across = job.source.width - dssim_window + 1;
  return job.move.dssim_weight[picture] / float(6 * high * across);  // twice the number of a picture's windows
}

// What a value's gradient with respect to `shown` counts.
FACECURE_VALUE float feature_weight_of(const FawkesStep& job, std::int64_t picture, int channel) {
  const float weight = job.move.feature_weight[picture];
  return job.shown ? weight / job.view.std[plane_of(job.view, channel)] : weight;
}

// A value's part of a step, but for DSSIM: the judged picture kept, the modifier moved, the next picture written and
// shown.
FACECURE_VALUE void move_value(const FawkesStep& job, std::int64_t at) {
  const std::int64_t plane = at / (std::int64_t(job.source.height) * job.source.width), picture = plane / 3;
  const int channel = int(plane % 3);
  const std::int64_t shown = at + shown_offset(job, channel);
  const float centred = job.source.centred[at];
  if (job.move.by_feature) {
    const FawkesMove& move = job.move;
    if (move.better[picture]) job.best[at] = job.pictures[at];
    const Moved<float> next = moved(move, job.bound, job.furthest, job.modifier[at], job.squares[at], job.steps[at],
                                    centred, job.by_dssim[at], move.by_feature[shown], dssim_weight_of(job, picture),
                                    feature_weight_of(job, picture, channel));
    job.modifier[at] = next.modifier;
    job.squares[at] = move.forget ? 0 : next.squares;
    job.steps[at] = move.forget ? 0 : next.steps;
  }
  const float next = centred + dssim_centre + bounded(job.modifier[at], centred, job.bound, job.furthest);
  job.pictures[at] = next;
  const int plane_shown = plane_of(job.view, channel);
  if (job.shown) job.shown[shown] = (next - job.view.mean[plane_shown]) / job.view.std[plane_shown];
}

}  // namespace facecure
