// The inner part of the rough scan: products of small integers, written once per instruction set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace facecure {

constexpr int panel_lanes = 32;  // probes side by side
constexpr int tile_rows = 12;    // rows at a time: 24 accumulators of AVX-512's 32 registers
constexpr int code_block = 16;   // vectors of codes are padded with zeros to a multiple of it

// A few rows against one panel of probes.
struct Tile {
  const std::uint32_t* probes;  // (size / 4, panel_lanes): four codes each, every code + the body's offset
  const float* probe_scale;     // (panel_lanes)
  const float* probe_slope;     // (panel_lanes)
  const float* floor;           // (panel_lanes): the least bound worth a look
  const std::int8_t* codes;     // (rows, size)
  const std::int32_t* sums;     // (rows): Σ codes
  const float* row_scale;       // (rows)
  const float* row_lost;        // (rows)
  const float* half;            // (rows)
  const std::uint8_t* calm;     // (rows): see ScanBody::is_calm
  std::int64_t size;            // a multiple of code_block
  int rows;                     // at most tile_rows
};

// Written by a body: exact integer products, and which lanes' upper bounds reach the floor:
// dot·probe_scale·row_scale − half + probe_slope·row_lost.
struct Scored {
  alignas(64) std::int32_t dots[tile_rows * panel_lanes];
  std::uint32_t reached[tile_rows];  // a bit per lane
};

struct ScanBody {
  const char* name;
  int limit;   // codes lie in −limit…limit, or sums might overflow
  int offset;  // makes the probes' codes unsigned, for products of unsigned with signed bytes
  bool (*available)();
  void (*score)(const Tile&, Scored&);
  float (*dot)(const float*, const float*, std::int64_t);  // of float32, summed in any order
  // Whether the body may take its fast way with this row of codes. Null: there is only one way.
  bool (*is_calm)(const std::int8_t*, std::int64_t);
};

// The bodies that this CPU has and FACECURE_SIMD allows, the best last. Never empty: "scalar" is always there.
const std::vector<const ScanBody*>& scan_bodies();

// The portable parts.
void score_scalar(const Tile& tile, Scored& scored);
float dot_scalar(const float* x, const float* y, std::int64_t size);

// Those of one processor family, the best last; empty elsewhere.
std::vector<ScanBody> x86_bodies();
std::vector<ScanBody> arm_bodies();

}  // namespace facecure
