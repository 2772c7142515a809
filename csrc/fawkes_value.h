// What one value goes through in a Fawkes step; the same operations on the CPU and on CUDA devices.
#pragma once

#include <cmath>

#include "fawkes_step.h"
#include "filter.h"
#include "value.h"

namespace facecure {

inline constexpr float fawkes_centre = 128;  // DssimSource::centre

template <class F>
struct Bent {
  F beyond;  // grey levels from the source
  F slope;   // its derivative with respect to the modifier
};

// Where modifier m takes source s = centred + fawkes_centre: to (tanh z / c + ½) · 255, z = artanh((s / 255 − ½) c) + m.
// By the addition theorem, so that a small change keeps its digits and a source of 0 or 255 its slope: with t = tanh m
// and τ = (s / 255 − ½) c,  tanh z − τ = t (1 − τ²) / (1 + τ t).
template <class F>
FACECURE_VALUE Bent<F> bend(const F& m, const F& centred) {
  constexpr float c = 2 - 1e-6f, scale = 255 / c, level = 1 / 255.f;
  const F half = (centred + (fawkes_centre - 127.5f)) * level;
  const F below = (255 - fawkes_centre - centred) * (2 * level) + 1e-6f * half;  // 1 − τ
  const F above = (centred + fawkes_centre) * (2 * level) - 1e-6f * half;  // 1 + τ
  // tanh x = n / q by Lambert's continued fraction to the seventh term, for x = m / 8: within 1e-7 up to |x| = 2. Then
  // e^2m = ((q + n) / (q − n))^8.
  const F x = clamped(m, -16, 16) * 0.125f, x2 = x * x;
  const F n = x * (1.0f + x2 * (17325 / 135135.f + x2 * (378 / 135135.f + x2 * (1 / 135135.f))));
  const F q = 1.0f + x2 * (62370 / 135135.f + x2 * (3150 / 135135.f + x2 * (28 / 135135.f)));
  F up = q + n, down = q - n;
  up *= up, up *= up, up *= up;
  down *= down, down *= down, down *= down;
  const F q2 = q * q + n * n, n2 = 2.0f * (n * q);  // tanh 2x = 2nq / (q² + n²)
  const F q4 = q2 * q2 + n2 * n2, n4 = 2.0f * (n2 * q2);
  const F n8 = 2.0f * (n4 * q4);
  // up : down : n8 = 1 + t : 1 − t : t
  const F whole = 2.0f / (up * above + down * below), part = above * below * whole * scale;
  return {n8 * part, up * down * whole * part};
}

template <class F>
struct Moved {
  F modifier, squares, steps;
};

// One Adadelta step of a modifier (specification §3).
template <class F>
FACECURE_VALUE Moved<F> adadelta(const FawkesMove& move, const F& modifier, const F& before, const F& steps,
                                 const F& gradient) {
  const F squares = move.rho * before + (1 - move.rho) * (gradient * gradient);
  const F step = gradient * square_root((steps + move.epsilon) / (squares + move.epsilon));
  const F sign = select(gradient > 0, all<F>(1), select(gradient < 0, all<F>(-1), F{}));
  return {modifier - move.rate * step - move.kick * sign, squares,
          move.rho * steps + (1 - move.rho) * (step * step)};
}

// The modifier and its accumulators after a move, given the gradients with respect to its picture.
template <class F>
FACECURE_VALUE Moved<F> moved(const FawkesMove& move, float bound, const F& modifier, const F& squares, const F& steps,
                              const F& centred, const F& by_dssim, const F& by_feature, float dssim_weight,
                              float feature_weight) {
  const Bent<F> bent = bend(modifier, centred);
  const F gradient = dssim_weight * by_dssim + feature_weight * by_feature;
  const F past = select(bent.beyond < 0, -bent.beyond, bent.beyond), back = bent.beyond * gradient;
  const F most = select(back > (move.frozen ? INFINITY : 0.0f), all<F>(INFINITY), all<F>(bound));
  return adadelta(move, modifier, squares, steps, select(past <= most, gradient * bent.slope, F{}));
}

// The perturbation to which a modifier leads.
template <class F>
FACECURE_VALUE F bounded(const F& modifier, const F& centred, float bound) {
  return clamped(bend(modifier, centred).beyond, -bound, bound);
}

// From a value of a plane to its place in `shown`.
FACECURE_VALUE std::int64_t shown_offset(const FawkesStep& job, int channel) {
  return job.shown ? std::int64_t(job.slots[channel] - channel) * job.source.height * job.source.width : 0;
}

// What a value's gradient with respect to `shown` counts.
FACECURE_VALUE float weight_of(const FawkesStep& job, std::int64_t picture, int channel) {
  const float weight = job.move->feature_weight[picture];
  return job.shown ? weight / job.std[channel] : weight;
}

// A value's part of a step, but for DSSIM: the judged picture kept, the modifier moved, the next picture written and shown.
FACECURE_VALUE void move_value(const FawkesStep& job, std::int64_t at) {
  const std::int64_t plane = at / (std::int64_t(job.source.height) * job.source.width), picture = plane / 3;
  const int channel = int(plane % 3);
  const std::int64_t shown = at + shown_offset(job, channel);
  const float centred = job.source.centred[at];
  if (job.move) {
    const FawkesMove& move = *job.move;
    if (move.better[picture]) job.best[at] = job.pictures[at];
    const Moved<float> next = moved(move, job.bound, job.modifier[at], job.squares[at], job.steps[at], centred,
                             job.by_dssim[at], move.by_feature[shown], move.dssim_weight[picture],
                             weight_of(job, picture, channel));
    job.modifier[at] = next.modifier;
    job.squares[at] = move.forget ? 0 : next.squares;
    job.steps[at] = move.forget ? 0 : next.steps;
  }
  const float next = centred + fawkes_centre + bounded(job.modifier[at], centred, job.bound);
  job.pictures[at] = next;
  if (job.shown) job.shown[shown] = (next - job.mean[channel]) / job.std[channel];
}

}  // namespace facecure
