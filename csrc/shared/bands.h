// Planes shared out among threads: whole ones as far as they come out even, the others in bands of rows.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>

namespace facecure {

// Rows [from, until) of a plane.
struct Band {
  std::int64_t plane;
  int from, until;
};

class Bands {
 public:
  // Bands have `least` rows or more, but for planes that have fewer.
  Bands(std::int64_t planes, int height, int threads, int least) : planes_(planes), height_(height) {
    const int left = int(planes % threads);
    whole_ = planes - left;
    parts_ = left == 0 ? 1 : std::max(1, std::min(threads / std::gcd(left, threads), height / least));
    threads_ = int(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, tasks())));
  }

  int threads() const { return threads_; }  // as many as have something to do

  // Calls prepare(thread, band), then finish(thread, band), `thread` being a number below threads(). What is prepared
  // of a plane comes before all that is finished of it. Nothing may throw.
  template <class Prepare, class Finish>
  void each(const Prepare& prepare, const Finish& finish) const {
    share(0, tasks(), [&](int thread, const Band& band) {
      prepare(thread, band);
      if (band.plane < whole_) finish(thread, band);
    });
    if (whole_ < planes_) share(whole_, tasks(), finish);
  }

 private:
  std::int64_t tasks() const { return whole_ + (planes_ - whole_) * parts_; }

  Band band(std::int64_t task) const {
    if (task < whole_) return {task, 0, height_};
    const std::int64_t number = (task - whole_) % parts_;
    return {whole_ + (task - whole_) / parts_, int(number * height_ / parts_), int((number + 1) * height_ / parts_)};
  }

  template <class Each>
  void share(std::int64_t first, std::int64_t until, const Each& each) const {
    std::atomic<std::int64_t> next = first;
#pragma omp parallel for num_threads(threads_) schedule(static, 1)
    for (int thread = 0; thread < threads_; ++thread)
      for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < until;) each(thread, band(task));
  }

  std::int64_t planes_, whole_;
  int height_, parts_, threads_;
};

}  // namespace facecure
