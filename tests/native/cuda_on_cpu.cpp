// cuda_on_cpu CASE: runs one of csrc's CUDA twins and the CPU kernel that it must equal over a table of sizes, and
// prints how many values were compared and how many differ. Ends with 1 where any does.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "dssim_planes/cuda.h"
#include "dssim_planes/tile.h"
#include "fawkes_step/cuda.h"
#include "lowkey_step/cuda.h"
#include "warp_faces/cuda.h"

using namespace facecure;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::mt19937 bits(1);
long compared = 0, differing = 0;

template <class T>
void compare(const std::vector<T>& found, const std::vector<T>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i, ++compared)
    differing += std::memcmp(&found[i], &expected[i], sizeof(T)) != 0;
}

// The device adds tiles where the CPU adds rows.
void compare_sums(const std::vector<double>& found, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i, ++compared)
    differing += !(std::abs(found[i] - expected[i]) <= 1e-9 * std::abs(expected[i]));
}

std::vector<float> normal(std::int64_t count, float scale) {
  std::normal_distribution<float> draw(0, scale);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = draw(bits);
  return values;
}

std::vector<float> squared(std::vector<float> values, float above = 0) {
  for (float& value : values) value = value * value + above;
  return values;
}

std::vector<float> window(int size, float width) {
  std::vector<float> weights;
  for (int i = 0; i < size; ++i)
    weights.push_back(std::exp(-float((i - size / 2) * (i - size / 2)) / (2 * width * width)));
  float sum = 0;
  for (float weight : weights) sum += weight;
  for (float& weight : weights) weight /= sum;
  return weights;
}

struct Size {
  int count, height, width;
};

template <class T>
void warp(Size faces, Size pictures, Border border, Layout layout, bool far) {
  const auto area = std::size_t(pictures.height) * std::size_t(pictures.width) * 3;
  std::vector<std::uint8_t> pixels(area * std::size_t(pictures.count));
  for (auto& pixel : pixels) pixel = std::uint8_t(bits());
  std::vector<double> matrices;
  for (int face = 0; face < faces.count; ++face) {
    const auto turn = normal(2, far && face % 2 ? 1e30f : 0.8f), shift = normal(2, 20);
    for (float value : {turn[0], -turn[1], shift[0], turn[1], turn[0], shift[1]}) matrices.push_back(value);
  }
  T table[3][256];
  for (auto& row : table)
    for (T& value : row) value = T(bits());
  const Values<T> values{std::is_same_v<T, std::uint8_t> ? nullptr : table, {0, 1, 2}, layout};
  const bool one = pictures.count == 1;
  std::vector<Picture> views;
  for (int face = 0; face < faces.count; ++face)
    views.push_back({pixels.data() + (one ? 0 : std::size_t(face) * area), pictures.height, pictures.width});
  std::vector<T> expected(std::size_t(faces.count) * std::size_t(faces.height) * std::size_t(faces.width) * 3);
  std::vector<T> found(expected.size());
  WarpFaces job{};
  job.pictures = views.data(), job.matrices = matrices.data(), job.faces = faces.count;
  job.height = faces.height, job.width = faces.width, job.border = border, job.threads = 1, job.simd = Simd::scalar;
  warp_faces(job, values, expected.data());
  DeviceWarp twin{};
  twin.pictures = pixels.data(), twin.matrices = matrices.data(), twin.faces = faces.count;
  twin.picture_height = pictures.height, twin.picture_width = pictures.width;
  twin.height = faces.height, twin.width = faces.width, twin.one_picture = one, twin.border = border;
  warp_faces_cuda(twin, values, found.data());
  compare(found, expected);
}

void warps() {
  for (const Border border : {Border::black, Border::replicate})
    for (const Layout layout : {Layout::nhwc, Layout::nchw})
      for (const Size faces : {Size{0, 5, 5}, {1, 1, 1}, {4, 7, 5}, {3, 21, 33}})
        for (const Size pictures : {Size{1, 23, 31}, {faces.count, 23, 31}, {faces.count, 1, 1}}) {
          warp<std::uint8_t>(faces, pictures, border, layout, false);
          warp<std::uint16_t>(faces, pictures, border, layout, true);
          warp<float>(faces, pictures, border, layout, true);
        }
}

// A source of DSSIM and what is changed in place; three planes a picture.
struct Planes {
  explicit Planes(Size size, float strength)
        : size(size), planes(3 * size.count), values(std::int64_t(planes) * size.height * size.width),
          windows(std::int64_t(planes) * (size.height - 10) * (size.width - 10)), centred(normal(values, 40)),
          mean(normal(windows, 20)), contrast(squared(normal(windows, 30), 58)), weights(window(dssim_window, 1.5f)),
          changed{normal(values, strength),
                  squared(normal(values, 1e-3f)),
                  squared(normal(values, 1e-4f)),
                  normal(values, 1),
                  normal(values, 9),
                  normal(values, 9),
                  normal(values, 1)} {
    for (float& value : centred) value = std::min(127.0f, std::max(-128.0f, value));
  }
  DssimSource source() const {
    DssimSource made{};
    made.centred = centred.data(), made.centred_mean = mean.data(), made.contrast = contrast.data();
    made.weights = weights.data();
    made.planes = planes, made.height = size.height, made.width = size.width;
    return made;
  }
  std::vector<double> parts() const {
    return std::vector<double>(std::size_t(planes * tiles_of(size.height, size.width)), nan);
  }

  Size size;
  int planes;
  std::int64_t values, windows;
  std::vector<float> centred, mean, contrast, weights;
  std::vector<float> changed[7];
};

void dssims() {
  for (const Size size : {Size{0, 20, 20}, {1, 11, 11}, {1, 33, 64}, {2, 42, 43}}) {
    const Planes planes(size, 6);
    std::vector<double> expected(std::size_t(planes.planes)), found(expected.size()), parts = planes.parts();
    std::vector<float> slope(std::size_t(planes.values)), gradient(slope.size());
    dssim_planes(planes.source(), planes.changed[0].data(), 1, Simd::scalar, expected.data(), slope.data());
    dssim_planes_cuda(planes.source(), planes.changed[0].data(), {parts.data(), found.data()}, gradient.data(),
                      nullptr);
    compare_sums(found, expected);
    compare(gradient, slope);
  }
}

void fawkes(Size size, float strength, float bound, bool moves, bool shown, bool forget, bool frozen) {
  Planes planes(size, strength), twins = planes;
  const auto by_feature = normal(planes.values, 1e-3f), weights = squared(normal(2 * size.count, 2));
  bool better[8];
  for (bool& one : better) one = bits() & 1;
  FawkesMove move{};
  move.by_feature = by_feature.data(), move.better = better;
  move.dssim_weight = weights.data(), move.feature_weight = weights.data() + size.count;
  move.rate = 15, move.epsilon = 1e-7f, move.kick = 0.01f, move.forget = forget, move.frozen = frozen;
  const auto job = [&](Planes& of) {
    FawkesStep made{};
    made.source = planes.source(), made.move = moves ? move : FawkesMove{}, made.bound = bound;
    made.modifier = of.changed[0].data(), made.squares = of.changed[1].data(), made.steps = of.changed[2].data();
    made.by_dssim = of.changed[3].data(), made.pictures = of.changed[4].data(), made.best = of.changed[5].data();
    made.shown = shown ? of.changed[6].data() : nullptr;
    for (int c = 0; c < 3; ++c)
      made.view.mean[c] = 100.0f + float(c), made.view.std[c] = 50.0f + float(c), made.view.channels[c] = (c + 2) % 3;
    made.threads = 1, made.simd = Simd::scalar;
    return made;
  };
  std::vector<double> expected(std::size_t(planes.planes)), found(expected.size()), parts = planes.parts();
  fawkes_step(job(planes), expected.data());
  fawkes_step_cuda(job(twins), {parts.data(), found.data()}, nullptr);
  compare_sums(found, expected);
  for (int i = 0; i < 7; ++i) compare(twins.changed[i], planes.changed[i]);
}

void fawkes_steps() {
  for (const Size size : {Size{0, 20, 20}, {1, 11, 11}, {2, 35, 40}}) {
    fawkes(size, 0.05f, 15, false, true, false, false);
    fawkes(size, 0.05f, 15, true, true, false, false);
    fawkes(size, 3, inf, true, false, true, false);
    fawkes(size, 3, 15, true, true, false, true);
  }
}

void lowkey(Size size, bool mirrored, bool moves) {
  const std::int64_t values = std::int64_t(size.count) * 3 * size.height * size.width, kinds = mirrored ? 4 : 2;
  auto pictures = normal(values, 1), views = normal(values * kinds, 1), twin_pictures = pictures, twin_views = views;
  const auto by_view = normal(values * kinds, 1), by_visible = normal(values, 1), weights = window(smooth_window, 3);
  const auto job = [&](std::vector<float>& to, std::vector<float>& of) {
    LowKeyStep made{};
    made.views = to.data(), made.pictures = of.data(), made.window = weights.data();
    if (moves) made.move = {by_view.data(), by_visible.data(), 0.05f, 0.0025f};
    for (int c = 0; c < 3; ++c) {
      made.view.mean[c] = 0.5f - 0.1f * float(c), made.view.std[c] = 0.25f * float(c + 1);
      made.view.channels[c] = (c + 2) % 3;
    }
    made.mirrored = mirrored;
    made.count = size.count, made.height = size.height, made.width = size.width, made.threads = 1;
    made.simd = Simd::scalar;
    return made;
  };
  lowkey_step(job(views, pictures));
  lowkey_step_cuda(job(twin_views, twin_pictures), nullptr);
  compare(twin_pictures, pictures);
  compare(twin_views, views);
}

void lowkey_steps() {
  for (const Size size : {Size{0, 9, 9}, {1, 4, 4}, {2, 5, 40}, {1, 33, 17}})
    for (const bool mirrored : {false, true})
      for (const bool moves : {false, true}) lowkey(size, mirrored, moves);
}

}  // namespace

int main(int, char** arguments) {
  const std::string name = arguments[1];
  name == "warp_faces"     ? warps()
  : name == "dssim_planes" ? dssims()
  : name == "fawkes_step"  ? fawkes_steps()
                           : lowkey_steps();
  std::printf("%s: %ld values compared, %ld differ\n", name.c_str(), compared, differing);
  return differing ? 1 : 0;
}
