// How extractors take pictures.
#pragma once

#include "shared/value.h"

namespace facecure {

// Plane j of a view shows channel channels[j] of a picture as (x − mean[j]) / std[j].
struct View {
  float mean[3];
  float std[3];
  int channels[3];
};

// The plane that shows a channel.
FACECURE_VALUE int plane_of(const View& view, int channel) {
  return view.channels[0] == channel ? 0 : view.channels[1] == channel ? 1 : 2;
}

}  // namespace facecure
