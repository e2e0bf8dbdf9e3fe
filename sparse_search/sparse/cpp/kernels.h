// What the kernels of every instruction set are called with: plain numbers and pointers,
// so that no code of the standard library is compiled for a set that a machine may lack.
#pragma once

#include <cstdint>

namespace sparse_search {

enum Kind { kF32, kF64, kBF16 };  // of the activations; bfloat16's weights are float32

// A layer with weights in tiles of tile_in × tile_out. Weights are in the order of
// tiles (tile rows first), in a tile by input, then output: `in_ptr` and `outs`. `out_ptr`,
// `ins` and `perm` list a tile's weights by output, then input; `perm` is a weight's
// place from the tile's first. Activations are [features, batch].
struct Layer {
  int32_t in, out, tile_in, tile_out, tiles_in, tiles_out;
  int64_t batch;
  bool narrow;  // uint8 indices and uint16 perm; else uint16 and int32
  const int32_t *in_ptr, *out_ptr;
  const void *outs, *ins, *perm;
  const void* values;
  const struct Window* window;  // null of a fully connected layer
};

// How a convolution's inputs lie in memory. An input is a place of the window with a
// channel; places that differ see the same row of x, from other beginnings. Images follow
// each other in a row, with zeros between them, so that every place of the window is a
// shift. What a row of outputs holds between images is of no use.
struct Window {
  int32_t places, channels;  // channels: rows of x; a place looks at some that follow
                             // each other
  int32_t rows;              // of x
  int64_t x_row, y_row;      // numbers in a row of x, and of y, dy
  int64_t margin;            // of zeros before a row of dy: the largest shift or more
  const int32_t* base;       // of a place: its first channel's row of x
  const int64_t* shift;      // of a place
  const int64_t* start;      // of an input: where its row begins in x, shift included
  const int64_t* pointer;    // of an input: its place in in_ptr, of the first tile
};

// Columns that a unit of work takes; those that are held in registers together are a block.
constexpr int32_t kSpan = 128;
struct Columns {
  int64_t first;
  int32_t count;
};

// Memory of a unit of work; null where there is no use for it.
struct Room {
  void* sums;    // of bfloat16, in float32, from tile to tile: [end − begin, kSpan]
  void* values;  // of the unit's weights in a tile, so that all blocks find them in order
  void* rows;    // of a tile's activations of a block, so that they are beside each other
};

struct Kernels {
  int32_t (*columns)(Kind);  // of a block; a part of kSpan
  // y[c, r] = x[r, c]; rows of x are `from` apart, those of y `to`.
  void (*transpose)(Kind, const void* x, int64_t from, int64_t rows, int64_t columns, void* y,
                    int64_t to);
  // y[rows of a tile row of outputs, columns] = relu?(Wᵀ x + b).
  void (*forward)(Kind, const Layer&, const void* x, const void* bias, void* y, bool relu,
                  int32_t tile, int32_t begin, int32_t end, Columns, Room);
  // g = dy where y is positive (all of it without a y), db = its sums over the batch.
  void (*gate)(Kind, const void* dy, const void* y, void* g, void* db, int64_t batch,
               int32_t begin, int32_t end);
  // dx = W g, if wanted, and dw = x gᵀ on the stored weights, for some rows of inputs.
  // With `sums`, dx is zero where x is not positive, and its sums over the batch go there.
  void (*backward)(Kind, const Layer&, const void* x, const void* g, void* dx, void* dw,
                   void* sums, int32_t tile, int32_t begin, int32_t end, Columns, bool add, Room);
  // The same for a convolution, of one block of columns, which is whole.
  void (*window_forward)(Kind, const Layer&, const void* x, const void* bias, void* y,
                         int32_t tile, int64_t first);
  void (*window_backward)(Kind, const Layer&, const void* x, const void* g, void* dx, void* dw,
                          int64_t first, bool add);
  // The largest of every 2×2 places of two rows of an image, [2, width, channels], if it is
  // positive, else zero; and which it is, 1 to 4, the first of several, or 0.
  void (*pool)(Kind, const void* rows, int64_t width, int64_t channels, void* y, void* which);
  // Such rows of the gradient: each number at the place that was the largest.
  void (*spread)(Kind, const void* g, const void* which, int64_t width, int64_t channels,
                 void* rows);
  // panel[b, c] = g[first + c, b] for 64 columns, those beyond the last zero; then
  // out[r, c] = Σ_b x[r, b] panel[b, c].
  void (*pack)(Kind, const void* g, int64_t batch, int32_t first, int32_t last, void* panel);
  void (*gradient)(Kind, const void* x, int64_t batch, const void* panel, int32_t rows,
                   void* out);
  double (*dot)(Kind, const void* x, const void* g, int64_t batch);
  // Where a block of the gradient is at least a threshold in magnitude; how many.
  int32_t (*reaching)(Kind, const void* block, int32_t size, double threshold, int32_t* where);
};

const Kernels& avx512_bf16_kernels();
const Kernels& avx512_kernels();
const Kernels& avx2_kernels();
const Kernels& portable_kernels();

}  // namespace sparse_search
