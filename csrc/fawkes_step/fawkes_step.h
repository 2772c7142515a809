// The half of a Fawkes iteration that is not the extractors' (docs/protocol.md §3 to §5).
#pragma once

#include <cstdint>

#include "dssim_planes/dssim_planes.h"
#include "shared/simd.h"
#include "shared/view.h"

namespace facecure {

// How a modifier moves.
struct FawkesMove {
  const float* by_feature;      // gradient of the feature distance with respect to `shown`, or without to `pictures`;
                                // null: nothing moves, and the rest is not looked at
  const float* dssim_weight;    // (pictures): of DSSIM's gradient
  const float* feature_weight;  // (pictures): of by_feature
  const bool* better;           // (pictures): whether the picture judged last is to be kept in `best`
  float rate;                   // of Adadelta, like epsilon and rho
  float epsilon;
  float kick;   // added along the gradient's sign
  bool forget;  // the accumulators afterwards
  bool frozen;  // values beyond the bound have no gradient, even one that leads back
  float rho = 0.95f;
};

// Three planes to a picture; everything (planes, height, width).
struct FawkesStep {
  DssimSource source;
  FawkesMove move;
  float bound;      // of the perturbation, in grey levels; infinity for none
  float* modifier;  // in tanh space, changed like all that follow
  float* squares;   // Adadelta's accumulators
  float* steps;
  float* by_dssim;  // gradient of the picture judged last, as dssim_planes writes it; then of the next
  float* pictures;  // the next to be judged
  float* best;
  float* shown;  // the next pictures as extractors take them, or null
  View view;
  int threads;
  Simd simd;
  float furthest = 16;  // from 0 that a modifier counts; as a constant GCC would not make a minimum one instruction
};

// Moves the modifiers, then writes the next pictures with their values and gradients as dssim_planes does, plane by
// plane or, where planes do not come out even among the threads, band by band. The same bits for every instruction set
// and thread count.
void fawkes_step(const FawkesStep& job, double* dssim);

}  // namespace facecure
