// A tile of dssim_planes for a block of threads, with the bits of plane.h: what the CUDA twin runs. It also
// compiles for the CPU, one thread to a block, which is how it is tested where there is no device.
#pragma once

#include <cstdint>

#include "dssim_planes/value.h"

namespace facecure {

constexpr int tile = 32, tile_windows = tile + dssim_window - 1, tile_pixels = tile_windows + dssim_window - 1;

// Memory that a block shares.
struct DssimTile {
  float d[tile_pixels * tile_pixels], s[tile_pixels * tile_pixels];
  float columns[3][tile_windows * tile_pixels];
  float coefficients[3][tile_windows * tile_windows];
  float spread[3][tile_windows * tile];
};

// One thread alone.
struct OneThread {
  static constexpr int index = 0, count = 1;
  void sync() const {}
};

FACECURE_VALUE int tiles_of(int size) { return (size + tile - 1) / tile; }
FACECURE_VALUE int tiles_of(int height, int width) { return tiles_of(height) * tiles_of(width); }

// Returns this thread's part of the value of the windows that start in tile (tile_y, tile_x) of plane `number`, and
// writes the tile's gradient. `perturbation(y, x)` is asked for pixels up to ten beyond the tile.
template <class Thread, class Perturbation>
FACECURE_VALUE double dssim_tile(const DssimSource& source, std::int64_t number, int tile_y, int tile_x,
                                 const Thread& thread, DssimTile& shared, const Perturbation& perturbation,
                                 float* gradient) {
  constexpr int edge = dssim_window - 1;
  const int high = source.height - edge, across = source.width - edge;
  const int top = tile_y * tile - edge, left = tile_x * tile - edge;  // of the pixels, and of the windows, held here
  const std::int64_t first = number * source.height * source.width, window = number * high * across;
  for (int i = thread.index; i < tile_pixels * tile_pixels; i += thread.count) {
    const int y = top + i / tile_pixels, x = left + i % tile_pixels;
    const bool inside = y >= 0 && y < source.height && x >= 0 && x < source.width;
    shared.d[i] = inside ? perturbation(y, x) : 0;
    shared.s[i] = inside ? source.centred[first + std::int64_t(y) * source.width + x] : 0;
  }
  thread.sync();
  for (int i = thread.index; i < tile_windows * tile_pixels; i += thread.count) {  // window rows are pixel rows
    const float *d = shared.d + i, *s = shared.s + i;
    const auto column = [&](const auto& product) {
      return weighted<dssim_window>([&](int k) { return product(d[k * tile_pixels], s[k * tile_pixels]); },
                                    source.weights);
    };
    shared.columns[0][i] = column([](float dk, float) { return dk; });
    shared.columns[1][i] = column([](float dk, float sk) { return dk * sk; });
    shared.columns[2][i] = column([](float dk, float) { return dk * dk; });
  }
  thread.sync();
  double value = 0;
  for (int i = thread.index; i < tile_windows * tile_windows; i += thread.count) {
    const int r = i / tile_windows, c = i % tile_windows, y = top + r, x = left + c;
    DssimWindow<float> found{0, 0, 0, 0};
    if (y >= 0 && y < high && x >= 0 && x < across) {
      float means[3];
      for (int map = 0; map < 3; ++map) {
        const float* row = shared.columns[map] + r * tile_pixels + c;
        means[map] = weighted<dssim_window>([&](int k) { return row[k]; }, source.weights);
      }
      const std::int64_t at = window + std::int64_t(y) * across + x;
      found = dssim_window_value(means[0], means[1], means[2], source.centred_mean[at], source.contrast[at]);
      if (r >= edge && c >= edge) value += double(found.value);
    }
    shared.coefficients[0][i] = found.by_mean;
    shared.coefficients[1][i] = found.by_variance;
    shared.coefficients[2][i] = found.by_covariance;
  }
  thread.sync();
  for (int i = thread.index; i < tile_windows * tile; i += thread.count) {
    for (int map = 0; map < 3; ++map) {
      const float* row = shared.coefficients[map] + i / tile * tile_windows + i % tile;
      shared.spread[map][i] = weighted<dssim_window>([&](int k) { return row[k]; }, source.weights);
    }
  }
  thread.sync();
  for (int i = thread.index; i < tile * tile; i += thread.count) {
    const int y = tile_y * tile + i / tile, x = tile_x * tile + i % tile;
    if (y >= source.height || x >= source.width) continue;
    float t[3];
    for (int map = 0; map < 3; ++map)
      t[map] = weighted<dssim_window>([&](int k) { return shared.spread[map][i + k * tile]; }, source.weights);
    const int pixel = (i / tile + edge) * tile_pixels + i % tile + edge;
    gradient[first + std::int64_t(y) * source.width + x] = t[0] + 2 * shared.d[pixel] * t[1] + shared.s[pixel] * t[2];
  }
  thread.sync();  // the next tile may use the memory
  return value;
}

}  // namespace facecure
