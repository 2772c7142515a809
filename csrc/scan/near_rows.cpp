#include "scan/near_rows.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <limits>

namespace facecure {
namespace {

constexpr int group = 4;  // panels per task, so that a stretch of rows is read once for 128 probes
constexpr std::int64_t stretch_bytes = 1 << 18;  // of codes, which stay in the second-level cache meanwhile

// A panel's probes as the inner loop sees them. Lanes beyond the last probe never reach an infinite floor.
struct Panel {
  alignas(64) float scale[panel_lanes];
  alignas(64) float slope[panel_lanes];
  alignas(64) float floor[panel_lanes];  // the least bound worth a look
  std::vector<std::uint32_t> packed;
  std::int64_t first;

  Panel(const NearRows& job, std::int64_t number, int offset)
        : packed(std::size_t(job.probes.size / 4 * panel_lanes)), first(number * panel_lanes) {
    const std::uint32_t each = 0x01010101u * std::uint32_t(offset), low = 0x7F7F7F7F;
    for (int lane = 0; lane < panel_lanes; ++lane) {
      const std::int64_t probe = first + lane;
      const bool there = probe < job.probes.count;
      scale[lane] = there ? job.probes.scale[probe] : 0;
      slope[lane] = there ? job.coarse[2 * probe + 1] : 0;
      floor[lane] = there ? job.best[2 * probe + 1] - job.coarse[2 * probe] : std::numeric_limits<float>::infinity();
      for (std::int64_t k = 0; there && k < job.probes.size / 4; ++k) {
        std::uint32_t four;
        std::memcpy(&four, job.probes.codes + probe * job.probes.size + 4 * k, sizeof four);
        packed[std::size_t(k * panel_lanes + lane)] = ((four & low) + each) ^ (four & ~low);  // no carry between bytes
      }
    }
  }
};

// A row that is not the best of its label, or not of the two best labels, is neither nearest nor second nearest.
bool reaches(const NearRows& job, std::int64_t probe, std::int64_t row, float upper) {
  const bool first = job.labels && job.labels[row] == job.best_label[probe];
  return upper >= job.best[2 * probe + (first ? 0 : 1)];
}

// Some panels of probes against all rows.
class Task {
 public:
  Task(const NearRows& job, const ScanBody& body, const std::uint8_t* calm, std::int64_t number)
        : job_(job), body_(body), calm_(calm) {
    const std::int64_t panels = (job.probes.count + panel_lanes - 1) / panel_lanes;
    for (std::int64_t p = number * group; p < std::min(panels, (number + 1) * group); ++p)
      panels_.emplace_back(job, p, body.offset);
  }

  // Fills `found`, at most about `most`; whether that was enough. Gives up where another task has.
  bool run(std::size_t most, const std::atomic<bool>& given_up, std::vector<NearRow>& found) {
    const auto drop = [&] {
      std::erase_if(found, [&](const NearRow& hit) {
        return !reaches(job_, hit.probe, hit.row, hit.score + job_.fine[hit.probe]);
      });
    };
    const std::int64_t stretch = std::max<std::int64_t>(1, stretch_bytes / job_.rows.size / tile_rows) * tile_rows;
    for (std::int64_t low = 0; low < job_.rows.count && !given_up; low += stretch) {
      const std::int64_t high = std::min(low + stretch, job_.rows.count);
      for (Panel& panel : panels_) {
        for (std::int64_t row = low; row < high; row += tile_rows)
          score(panel, row, int(std::min<std::int64_t>(tile_rows, high - row)));
        decide(panel, found);
      }
      if (found.size() > most) drop();
      if (found.size() > most) return false;
    }
    drop();
    return true;
  }

 private:
  void score(Panel& panel, std::int64_t row, int rows) {
    const CodedVectors& y = job_.rows;
    body_.score({panel.packed.data(), panel.scale, panel.slope, panel.floor, y.codes + row * y.size, y.sums + row,
                 y.scale + row, job_.lost + row, job_.half + row, calm_ + row, y.size, rows},
                scored_);
    for (int r = 0; r < rows; ++r)
      if (scored_.reached[r]) note(panel, row + r, scored_.reached[r], scored_.dots + r * panel_lanes);
  }

  // Notes the lanes of `mask`, whose bounds against a row reached the floor of their probes.
  void note(Panel& panel, std::int64_t row, std::uint32_t mask, const std::int32_t* dots) {
    for (; mask; mask &= mask - 1) {
      const int lane = __builtin_ctz(mask);
      const std::int64_t probe = panel.first + lane;
      if (job_.labels && job_.labels[row] == job_.own[probe]) continue;
      const float score = float(dots[lane]) * (panel.scale[lane] * job_.rows.scale[row]) - job_.half[row];
      const float error = job_.coarse[2 * probe] + panel.slope[lane] * job_.lost[row];
      if (!reaches(job_, probe, row, score + error)) continue;
      noted_.push_back({std::int32_t(probe), std::int32_t(row), score + error});
      if (job_.labels) raise(panel, lane, row, score - error);
    }
  }

  // Decides what was noted by the float32 vectors: the last first, which had to be better than those before.
  void decide(Panel& panel, std::vector<NearRow>& found) {
    const auto ahead = [&](std::size_t i) {
      if (i < noted_.size()) fetch(job_.rows.vector(noted_[i].row));
    };
    for (std::size_t i = noted_.size(); i-- > 0;) {
      ahead(i - 2);  // far beyond the end once there are none
      const auto [probe, row, upper] = noted_[i];
      if (!reaches(job_, probe, row, upper)) continue;
      const float score = body_.dot(job_.probes.vector(probe), job_.rows.vector(row), job_.rows.width) - job_.half[row];
      if (!reaches(job_, probe, row, score + job_.fine[probe])) continue;
      found.push_back({probe, row, score});
      if (job_.labels) raise(panel, int(probe - panel.first), row, score - job_.fine[probe]);
    }
    noted_.clear();
  }

  void fetch(const float* vector) const {
    constexpr std::int64_t line = 64 / sizeof(float), most = 64;  // the processor goes on by itself
    for (std::int64_t k = 0; k < std::min(job_.rows.width, most * line); k += line) __builtin_prefetch(vector + k);
  }

  // Raises what a probe has found by a row of at least the score `lower`.
  void raise(Panel& panel, int lane, std::int64_t row, float lower) {
    const std::int64_t probe = panel.first + lane, label = job_.labels[row];
    float* best = job_.best + 2 * probe;
    if (label == job_.best_label[probe]) {
      best[0] = std::max(best[0], lower);
    } else if (lower > best[0]) {
      best[1] = best[0], best[0] = lower;
      job_.best_label[probe] = label;
    } else {
      best[1] = std::max(best[1], lower);
    }
    panel.floor[lane] = best[1] - job_.coarse[2 * probe];
  }

  const NearRows& job_;
  const ScanBody& body_;
  const std::uint8_t* calm_;
  std::vector<Panel> panels_;
  std::vector<NearRow> noted_;  // in one stretch of rows by one panel; `score` is the upper bound
  Scored scored_;
};

}  // namespace

std::optional<std::vector<std::vector<NearRow>>> near_rows(const NearRows& job, const ScanBody& body) {
  const std::int64_t lanes = group * panel_lanes, tasks = (job.probes.count + lanes - 1) / lanes;
  // a single row always fits
  const auto most = std::size_t(std::max(job.most / std::max<std::int64_t>(tasks, 1), lanes));
  std::vector<std::vector<NearRow>> found(static_cast<std::size_t>(tasks));
  std::vector<std::uint8_t> calm(std::size_t(job.rows.count), 1);
  std::atomic<bool> given_up = false;
  std::exception_ptr failure;  // none may leave a parallel region; whoever gives up first says why
#pragma omp parallel num_threads(job.threads)
  {
    if (body.is_calm) {  // in braces: a compiler that ignores the pragma takes it for the statement
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < job.rows.count; ++i)
        calm[std::size_t(i)] = body.is_calm(job.rows.codes + i * job.rows.size, job.rows.size);
    }
#pragma omp for schedule(dynamic)
    for (std::int64_t number = 0; number < tasks; ++number) {
      if (given_up) continue;
      try {
        if (!Task(job, body, calm.data(), number).run(most, given_up, found[std::size_t(number)])) given_up = true;
      } catch (...) {
        given_up = true;
#pragma omp critical
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
  if (given_up) return std::nullopt;
  return found;
}

}  // namespace facecure
