// The keyed bijection of matrix positions; see masks/bijection.py, of which this is the
// compressed half. Both must give the same ranks: a test compares them.
#pragma once

#include <cstdint>

namespace sparse_search {

struct Position {
  uint32_t row, column;
};

struct Bijection {
  const uint32_t* keys;  // two for every pair of rounds
  int pairs, half, column_bits;

  static uint32_t mix(uint32_t w) {
    w = (w ^ (w >> 16)) * 0x85EBCA6Bu;
    w = (w ^ (w >> 13)) * 0xC2B2AE35u;
    return w ^ (w >> 16);
  }

  uint32_t word() const { return half < 32 ? (1u << half) - 1 : ~0u; }

  uint64_t ranks() const { return half < 32 ? uint64_t{1} << (2 * half) : ~uint64_t{0}; }

  uint64_t rank(Position at) const {
    const uint64_t flat = (static_cast<uint64_t>(at.row) << column_bits) | at.column;
    uint32_t high = flat >> half & word(), low = flat & word();
    for (int i = 0; i < pairs; i++) {
      high ^= mix(low + keys[2 * i]) & word();
      low ^= mix(high + keys[2 * i + 1]) & word();
    }
    return (static_cast<uint64_t>(high) << half) | low;
  }

  // Of a rank that no position has, the row or the column lies outside of the matrix.
  Position position(uint64_t rank) const {
    uint32_t high = rank >> half, low = rank & word();
    for (int i = pairs; i-- > 0;) {
      low ^= mix(high + keys[2 * i + 1]) & word();
      high ^= mix(low + keys[2 * i]) & word();
    }
    const uint64_t flat = (static_cast<uint64_t>(high) << half) | low;
    const uint32_t columns = column_bits < 32 ? (1u << column_bits) - 1 : ~0u;
    return {static_cast<uint32_t>(flat >> column_bits), static_cast<uint32_t>(flat) & columns};
  }
};

}  // namespace sparse_search
