// The rows of a gallery whose score, from eight-bit products, may reach what each probe has found so far.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace facecure {

constexpr int probe_panel = 32;  // probes side by side in two registers

struct NearRows {
  const std::uint32_t* probes;  // (panels, size / 4, probe_panel): four codes + 128 each
  const float* probe_scale;     // (n)
  const float* error;           // (n): how far a score may lie from the true one
  const std::int8_t* rows;      // (count, size)
  const std::int32_t* sums;     // (count): Σ codes of a row
  const float* row_scale;       // (count)
  const float* half;            // (count): |y|²/2, taken off each score
  const std::int64_t* labels;   // (count), or null: nothing is left out and `best` stays
  const std::int64_t* own;      // (n): rows of this label are left out
  std::int64_t n;
  std::int64_t count;
  std::int64_t size;  // a multiple of 4
  std::int64_t most;  // pairs to hold, about; at least one row's
  int threads;
  float* best;               // (n, 2): lower bounds of the best true scores of two different labels so far
  std::int64_t* best_label;  // (n): label of the first
};

struct NearRow {
  std::int32_t probe;
  std::int32_t row;
  float score;
};

// Whether this CPU multiplies eight-bit integers four at a time (AVX512-VNNI). Without it near_rows must not be called.
bool has_vnni();

// Returns, task by task in the order of probes, every pair whose true score may reach best[1], or best[0] among rows of
// the first label; raises `best` on the way. Nothing where that would be more than `most`: ask again with fewer rows,
// what `best` has risen to holds.
std::optional<std::vector<std::vector<NearRow>>> near_rows(const NearRows& job);

}  // namespace facecure
