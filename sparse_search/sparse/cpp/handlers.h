// What the handlers share.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include "kernels.h"
#include "xla/ffi/api/ffi.h"

namespace sparse_search {

namespace ffi = xla::ffi;
using Any = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;

const Kernels& kernels();  // of this machine

std::optional<Kind> kind_of(ffi::DataType type);
size_t size_of(Kind kind);

inline Layer layer_of(int64_t in, int64_t out, int64_t tile_in, int64_t tile_out) {
  Layer l{};
  l.in = in;
  l.out = out;
  l.tile_in = tile_in;
  l.tile_out = tile_out;
  l.tiles_in = (in + tile_in - 1) / tile_in;
  l.tiles_out = (out + tile_out - 1) / tile_out;
  return l;
}

// Pointers of all tiles, a tile's rows and one more.
inline size_t pointers(const Layer& l, int64_t rows) {
  return static_cast<size_t>(l.tiles_in) * l.tiles_out * (rows + 1);
}

// Memory for as long as a unit of work, by lines of the cache.
struct Free {
  void operator()(void* p) const { ::operator delete(p, kLine); }
  static constexpr std::align_val_t kLine{64};
};
using Memory = std::unique_ptr<void, Free>;

inline Memory memory(size_t bytes) {
  return Memory(bytes ? ::operator new(bytes, Free::kLine) : nullptr);
}

// Gradients of `room` weights, each part from some columns of a long batch.
struct Parts {
  int64_t room, number;
  bool wide;  // float64
};

// Their sum, part by part, and zeros beyond the last weight.
void add_parts(ffi::ThreadPool& pool, const Parts& parts, const void* from, int64_t nnz, void* to);

}  // namespace sparse_search
