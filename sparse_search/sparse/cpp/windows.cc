// The handlers that XLA calls for convolutions with tiled weights.
//
// Images are not unfolded: all places of a window see the same rows, shifted (kernels.h).

#include <algorithm>
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

}  // namespace

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
