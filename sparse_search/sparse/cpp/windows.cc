// The handlers that XLA calls for convolutions with tiled weights.
//
// Images are not unfolded: all places of a window see the same rows, shifted (kernels.h).

#include <algorithm>
#include <cstring>
#include <vector>

#include "handlers.h"
#include "parallel.h"

namespace sparse_search {
namespace {

using Places = ffi::Span<const int64_t>;

// A window with what is looked up for every input.
struct Lookup {
  Window window{};
  std::vector<int32_t> base;
  std::vector<int64_t> start, pointer;
};

// False where a place would look beyond the arrays, or a block is not whole.
bool look_up(Lookup& found, Layer& l, Places base, Places shift, int64_t rows, int64_t x_row,
             int64_t y_row, int64_t margin, int64_t columns, int32_t most) {
  Window& w = found.window;
  if (x_row % most || columns % most) return false;
  w.places = base.size();
  if (!w.places || shift.size() != base.size() || l.in % w.places) return false;
  w.channels = l.in / w.places;
  w.rows = rows;
  w.x_row = x_row;
  w.y_row = y_row;
  w.margin = margin;
  for (int p = 0; p < w.places; p++) {
    if (base[p] < 0 || base[p] + w.channels > rows || shift[p] < 0 ||
        shift[p] > margin || shift[p] + columns > x_row)
      return false;
    found.base.push_back(base[p]);
    for (int64_t c = 0; c < w.channels; c++) {
      const int64_t j = static_cast<int64_t>(p) * w.channels + c;
      found.start.push_back((base[p] + c) * x_row + shift[p]);
      found.pointer.push_back(j / l.tile_in * l.tiles_out * (l.tile_in + 1) + j % l.tile_in);
    }
  }
  w.base = found.base.data();
  w.shift = shift.begin();
  w.start = found.start.data();
  w.pointer = found.pointer.data();
  l.window = &w;
  return x_row + w.margin <= y_row;
}

ffi::Error Forward(ffi::ThreadPool pool, Any out_ptr, Any ins, Any perm, Any values, Any bias,
                   Any x, Out y, int64_t in, int64_t tile_in, int64_t tile_out, int64_t margin,
                   int64_t columns, Places base, Places shift) {
  auto kind = kind_of(x.element_type());
  if (!kind || x.dimensions().size() != 2 || y->dimensions().size() != 2)
    return ffi::Error::InvalidArgument("activations must be float matrices");
  Layer l = layer_of(in, y->dimensions()[0], tile_in, tile_out);
  l.narrow = ins.element_type() == ffi::DataType::U8;
  const int32_t most = kernels().columns(*kind);
  Lookup found;
  if (out_ptr.element_count() != pointers(l, l.tile_out) ||
      static_cast<int64_t>(bias.element_count()) != l.out ||
      !look_up(found, l, base, shift, x.dimensions()[0], x.dimensions()[1], y->dimensions()[1],
               margin, columns, most))
    return ffi::Error::InvalidArgument("the topology is of another layer");
  l.out_ptr = static_cast<const int32_t*>(out_ptr.untyped_data());
  l.ins = ins.untyped_data();
  l.perm = perm.untyped_data();
  l.values = values.untyped_data();
  parallel_for(pool, columns / most, [&](int64_t block) {
    for (int32_t tile = 0; tile < l.tiles_out; tile++)
      kernels().window_forward(*kind, l, x.untyped_data(), bias.untyped_data(),
                               y->untyped_data(), tile, block * most);
  });
  return ffi::Error::Success();
}

ffi::Error Backward(ffi::ThreadPool pool, Any in_ptr, Any outs, Any values, Any x, Any g, Out dx,
                    Out dw, Out parts, int64_t in, int64_t tile_in, int64_t tile_out,
                    int64_t margin, int64_t columns, Places base, Places shift,
                    bool need_dx) {
  auto kind = kind_of(x.element_type());
  if (!kind || x.dimensions().size() != 2 || g.dimensions().size() != 2)
    return ffi::Error::InvalidArgument("activations must be float matrices");
  Layer l = layer_of(in, g.dimensions()[0], tile_in, tile_out);
  l.narrow = outs.element_type() == ffi::DataType::U8;
  const int32_t most = kernels().columns(*kind);
  Lookup found;
  if (in_ptr.element_count() != pointers(l, l.tile_in) ||
      !look_up(found, l, base, shift, x.dimensions()[0], x.dimensions()[1], g.dimensions()[1],
               margin, columns, most))
    return ffi::Error::InvalidArgument("the topology is of another layer");
  l.in_ptr = static_cast<const int32_t*>(in_ptr.untyped_data());
  l.outs = outs.untyped_data();
  l.values = values.untyped_data();
  const int64_t room = dw->element_count();
  const size_t weight = *kind == kF64 ? 8 : 4;
  const int64_t blocks = x.dimensions()[1] / most;
  const Parts sums{room, std::min<int64_t>(parts->dimensions()[0], blocks), *kind == kF64};
  parallel_for(pool, sums.number, [&](int64_t u) {
    char* own = static_cast<char*>(parts->untyped_data()) + u * room * weight;
    const int64_t begin = blocks * u / sums.number, end = blocks * (u + 1) / sums.number;
    for (int64_t block = begin; block < end; block++)
      kernels().window_backward(*kind, l, x.untyped_data(), g.untyped_data(),
                                need_dx ? dx->untyped_data() : nullptr, own, block * most,
                                block > begin);
  });
  add_parts(pool, sums, parts->untyped_data(), l.in_ptr[in_ptr.element_count() - 1],
            dw->untyped_data());
  return ffi::Error::Success();
}

// Images [batch, height, width, channels] and their channels in rows, in which they
// follow each other.
struct Images {
  Kind kind;
  int64_t batch, height, width, channels;
  int64_t length;               // of a row
  int64_t start, rows, columns;  // of the first image; from one, or its rows, to the next

  size_t bytes(int64_t numbers) const { return numbers * size_of(kind); }
  int64_t place(int64_t image) const { return start + image * rows * columns; }
};

template <class One, class Two>
std::optional<Images> images_of(One& images, Two& rows, int64_t start, int64_t from_image,
                                int64_t from_row) {
  const auto kind = kind_of(images.element_type());
  const auto size = images.dimensions(), to = rows.dimensions();
  if (!kind || rows.element_type() != images.element_type() || size.size() != 4 ||
      to.size() != 2 || to[0] != size[3])
    return {};
  const Images i{*kind, size[0], size[1], size[2],    size[3],
                 to[1], start,   from_image, from_row};
  const int64_t last = i.place(i.batch - 1) + (i.height - 1) * i.columns + i.width;
  if (start < 0 || i.height > i.rows || i.width > i.columns || last > i.length) return {};
  return i;
}

// Zeros are between the images.
ffi::Error Unroll(ffi::ThreadPool pool, Any x, Out y, int64_t start, int64_t rows,
                  int64_t columns) {
  const auto found = images_of(x, *y, start, rows, columns);
  if (!found) return ffi::Error::InvalidArgument("images do not fit into the rows");
  const Images i = *found;
  const char* from = static_cast<const char*>(x.untyped_data());
  char* to = static_cast<char*>(y->untyped_data());
  const auto clear = [&](int64_t begin, int64_t end) {
    for (int64_t c = 0; c < i.channels && begin < end; c++)
      std::memset(to + i.bytes(c * i.length + begin), 0, i.bytes(end - begin));
  };
  if (!x.element_count()) clear(0, i.length);
  parallel_for(pool, x.element_count() ? i.batch : 0, [&](int64_t image) {
    if (!image) clear(0, i.start);
    for (int64_t r = 0; r < i.height; r++) {
      const int64_t at = i.place(image) + r * i.columns;
      kernels().transpose(i.kind, from + i.bytes((image * i.height + r) * i.width * i.channels),
                          i.channels, i.width, i.channels, to + i.bytes(at), i.length);
      const int64_t next = image + 1 < i.batch ? i.place(image + 1) : i.length;
      clear(at + i.width, r + 1 < i.height ? at + i.columns : next);
    }
  });
  return ffi::Error::Success();
}

ffi::Error Roll(ffi::ThreadPool pool, Any x, Out y, int64_t start, int64_t rows,
                int64_t columns) {
  const auto found = images_of(*y, x, start, rows, columns);
  if (!found) return ffi::Error::InvalidArgument("images do not fit into the rows");
  const Images i = *found;
  const char* from = static_cast<const char*>(x.untyped_data());
  char* to = static_cast<char*>(y->untyped_data());
  parallel_for(pool, i.batch, [&](int64_t image) {
    for (int64_t r = 0; r < i.height; r++)
      kernels().transpose(i.kind, from + i.bytes(i.place(image) + r * i.columns), i.length,
                          i.channels, i.width,
                          to + i.bytes((image * i.height + r) * i.width * i.channels),
                          i.channels);
  });
  return ffi::Error::Success();
}

auto laid() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Any>()  // x
      .Ret<Any>()  // y
      .Attr<int64_t>("start")
      .Attr<int64_t>("rows")
      .Attr<int64_t>("columns");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchUnroll, Unroll, laid());
XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchRoll, Roll, laid());

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchWindowForward, Forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // out_ptr
                                  .Arg<Any>()  // ins
                                  .Arg<Any>()  // perm
                                  .Arg<Any>()  // values
                                  .Arg<Any>()  // bias
                                  .Arg<Any>()  // x
                                  .Ret<Any>()  // y
                                  .Attr<int64_t>("in")
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<int64_t>("margin")
                                  .Attr<int64_t>("columns")
                                  .Attr<Places>("base")
                                  .Attr<Places>("shift"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchWindowBackward, Backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // in_ptr
                                  .Arg<Any>()  // outs
                                  .Arg<Any>()  // values
                                  .Arg<Any>()  // x
                                  .Arg<Any>()  // g
                                  .Ret<Any>()  // dx
                                  .Ret<Any>()  // dw
                                  .Ret<Any>()  // parts
                                  .Attr<int64_t>("in")
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<int64_t>("margin")
                                  .Attr<int64_t>("columns")
                                  .Attr<Places>("base")
                                  .Attr<Places>("shift")
                                  .Attr<bool>("need_dx"));

}  // namespace sparse_search
