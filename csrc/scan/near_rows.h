// The rows of a gallery whose score may reach what each probe has found so far.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "scan/body.h"

namespace facecure {

// Float32 vectors within a table, and their codes.
struct CodedVectors {
  const float* table;         // (…, width)
  const std::int64_t* index;  // (count): where in the table; null: the first ones
  const std::int8_t* codes;   // (count, size), within the body's limit
  const std::int32_t* sums;   // (count): Σ codes
  const float* scale;         // (count)
  std::int64_t count;
  std::int64_t width;
  std::int64_t size;  // width up to a multiple of code_block

  const float* vector(std::int64_t i) const { return table + (index ? index[i] : i) * width; }
};

struct NearRows {
  CodedVectors probes;
  CodedVectors rows;
  const float* half;           // (rows): |y|²/2, taken off each score
  const float* lost;           // (rows): length of what the codes lose
  const float* coarse;         // (probes, 2): a score of codes lies within coarse[0] + coarse[1]·lost of the true one
  const float* fine;           // (probes): one of float32 vectors within this
  const std::int64_t* labels;  // (rows), or null: nothing is left out and `best` stays
  const std::int64_t* own;     // (probes): rows of this label are left out
  std::int64_t most;           // pairs to hold, about; at least one row's
  int threads;
  float* best;               // (probes, 2): lower bounds of the best true scores of two different labels so far
  std::int64_t* best_label;  // (probes): label of the first
};

struct NearRow {
  std::int32_t probe;
  std::int32_t row;
  float score;  // of the float32 vectors
};

// Returns, task by task in the order of probes, every pair whose true score may reach best[1], or best[0] among rows of
// the first label; raises `best` on the way. Nothing where that would be more than `most`: ask again with fewer rows,
// what `best` has risen to holds. Throws std::bad_alloc without memory.
std::optional<std::vector<std::vector<NearRow>>> near_rows(const NearRows& job, const ScanBody& body);

}  // namespace facecure
