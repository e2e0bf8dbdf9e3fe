// The handlers that XLA calls for convolutions with tiled weights.
//
// A few images at a time, so that all of a group stays in cache, are laid in rows, one a
// channel, in which all places of a window see the same numbers, shifted (kernels.h). What
// comes of them is laid out as images again, halved on the way where that is asked for.

#include <algorithm>
#include <cstring>
#include <vector>

#include "handlers.h"
#include "parallel.h"

namespace sparse_search {
namespace {

using Numbers = ffi::Span<const int64_t>;

constexpr int64_t kNear = 256 * 1024;  // bytes of a group's rows, if a block has no more
constexpr int64_t kGroups = 16;        // at least, of whole blocks, for as many threads

// Images [batch, height, width, channels].
struct Images {
  int64_t batch, height, width, channels;
};

struct Convolution {
  Kind kind;
  Images from, to;         // `to` before it is halved
  bool halved;
  int64_t rows, columns;   // of an image with zeros around it; of every phase of a stride
  int64_t front;           // zeros before the first image
  Numbers strides, pads;
  int64_t images;          // of a group
  int64_t margin;          // no shift is larger, and not the front
  int64_t length;          // of a group's row of inputs
  Layer layer;
  Window window;
  std::vector<int32_t> base;
  std::vector<int64_t> start, pointer;

  size_t bytes(int64_t numbers) const { return numbers * size_of(kind); }
  int64_t block() const { return kernels().columns(kind); }
  int64_t groups() const { return (from.batch + images - 1) / images; }
  int64_t in_group(int64_t group) const {
    return std::min(images, from.batch - group * images);
  }
  // Blocks of a row up to the end of some images, of inputs or outputs.
  int64_t blocks(int64_t number, int64_t before) const {
    return (before + number * rows * columns + block() - 1) / block();
  }
};

int64_t whole(int64_t numbers, int64_t block) { return (numbers + block - 1) / block * block; }

// An odd number of blocks from one row to the next, so that a block of all rows does not
// lie in the same part of the first-level cache.
int64_t apart(int64_t numbers, int64_t block) {
  const int64_t blocks = (numbers + block - 1) / block;
  return (blocks % 2 ? blocks : blocks + 1) * block;
}

// How many images are taken at a time, a block of whose rows has some bytes: those that are
// near, or a few more where less of the last block is without use.
int64_t in_group(const Convolution& c, int64_t bytes) {
  const int64_t numbers = c.rows * c.columns;
  const auto in = [&](int64_t blocks) {
    return std::max<int64_t>((blocks * c.block() - c.front) / numbers, 1);
  };
  const int64_t near = std::max<int64_t>(kNear / std::max<int64_t>(bytes, 1), 1);
  const int64_t most = std::max(c.from.batch / kGroups, in(2));
  int64_t best = 1;
  double use = 0;
  for (int64_t blocks = near; blocks < near + 4; blocks++) {
    const int64_t images = std::min(in(blocks), most);
    const double used = static_cast<double>(images * numbers) / c.blocks(images, c.front);
    if (used > use) best = images, use = used;
  }
  return best;
}

// Describes a convolution, which stays where it is; returns what is wrong, or null.
const char* describe(Convolution& c, Any x, Numbers outputs, bool halved, int64_t in,
                     int64_t neurons, int64_t tile_in, int64_t tile_out, Numbers size,
                     int64_t front, Numbers strides, Numbers pads, Numbers base,
                     Numbers shift) {
  const auto kind = kind_of(x.element_type());
  const auto given = x.dimensions();
  if (!kind || given.size() != 4) return "images must be of floats, with channels";
  if (outputs.size() != 2 || size.size() != 2 || strides.size() != 2 || pads.size() != 2)
    return "an image has two axes";
  c.kind = *kind;
  c.from = {given[0], given[1], given[2], given[3]};
  c.to = {given[0], outputs[0], outputs[1], neurons};
  c.halved = halved;
  c.rows = size[0];
  c.columns = size[1];
  c.front = front;
  c.strides = strides;
  c.pads = pads;
  const int64_t numbers = c.rows * c.columns;
  int64_t furthest = front;
  for (const int64_t s : shift) furthest = std::max(furthest, s);
  const bool fits = c.from.batch >= 0 && std::min(strides[0], strides[1]) > 0 &&
                    std::min({pads[0], pads[1], front, numbers - 1}) >= 0 &&
                    (c.from.height + pads[0] + strides[0] - 1) / strides[0] <= c.rows &&
                    (c.from.width + pads[1] + strides[1] - 1) / strides[1] <= c.columns &&
                    c.to.height <= c.rows && c.to.width <= c.columns;
  if (!fits) return "images do not fit into the rows";
  c.margin = whole(furthest, c.block());

  const int64_t channels = c.from.channels * strides[0] * strides[1];
  c.images = in_group(c, c.bytes(2 * channels + neurons) * c.block());
  c.length = apart(whole(c.images * numbers, c.block()) + c.margin, c.block());

  Layer& l = c.layer = layer_of(in, neurons, tile_in, tile_out);
  Window& w = c.window;
  w.places = base.size();
  if (!w.places || shift.size() != base.size() || l.in % w.places)
    return "the topology is of another layer";
  w.channels = l.in / w.places;
  w.rows = channels;
  w.x_row = c.length;
  for (int p = 0; p < w.places; p++) {
    if (base[p] < 0 || base[p] + w.channels > channels || shift[p] < 0)
      return "the topology is of another layer";
    c.base.push_back(base[p]);
    for (int64_t i = 0; i < w.channels; i++) {
      const int64_t j = static_cast<int64_t>(p) * w.channels + i;
      c.start.push_back((base[p] + i) * w.x_row + shift[p]);
      c.pointer.push_back(j / l.tile_in * l.tiles_out * (l.tile_in + 1) + j % l.tile_in);
    }
  }
  w.base = c.base.data();
  w.shift = shift.begin();
  w.start = c.start.data();
  w.pointer = c.pointer.data();
  l.window = &w;
  return nullptr;
}

// Calls f(a place in the images' memory, how many from there, `apart` pixels from each other,
// the first row, a place in it) for every piece of a row of inputs that stays together.
template <class F>
void pieces(const Convolution& c, int64_t images, F f) {
  const int64_t down = c.strides[0], apart = c.strides[1];
  for (int64_t image = 0; image < images; image++)
    for (int64_t r = 0; r < c.from.height; r++) {
      const int64_t high = r + c.pads[0];
      const int64_t at = c.front + (image * c.rows + high / down) * c.columns;
      for (int64_t j = 0; j < apart && j < c.from.width; j++) {
        const int64_t wide = j + c.pads[1];
        f(((image * c.from.height + r) * c.from.width + j) * c.from.channels,
          (c.from.width - j + apart - 1) / apart, apart,
          (high % down * apart + wide % apart) * c.from.channels, at + wide / apart);
      }
    }
}

void lay_inputs(const Convolution& c, const char* images, int64_t number, char* rows) {
  const int64_t channels = c.from.channels;
  pieces(c, number, [&](int64_t from, int64_t pixels, int64_t apart, int64_t row, int64_t at) {
    kernels().transpose(c.kind, images + c.bytes(from), apart * channels, pixels, channels,
                        rows + c.bytes(row * c.length + at), c.length);
  });
}

void take_inputs(const Convolution& c, const char* rows, int64_t number, char* images) {
  const int64_t channels = c.from.channels;
  pieces(c, number, [&](int64_t to, int64_t pixels, int64_t apart, int64_t row, int64_t at) {
    kernels().transpose(c.kind, rows + c.bytes(row * c.length + at), c.length, channels, pixels,
                        images + c.bytes(to), apart * channels);
  });
}

// Calls f(a place in the outputs' memory, the place in rows of its pixel) for all rows of some
// images; where they are halved, of the first of two.
template <class F>
void output_rows(const Convolution& c, int64_t images, F f) {
  const int64_t step = c.halved ? 2 : 1, rows = c.to.height / step;
  for (int64_t image = 0; image < images; image++)
    for (int64_t r = 0; r < rows; r++)
      f((image * rows + r) * (c.to.width / step) * c.to.channels,
        (image * c.rows + r * step) * c.columns);
}

// Outputs of some images from rows that are `length` apart; `two` has room for two rows of an
// image.
void take_outputs(const Convolution& c, const char* rows, int64_t length, int64_t number,
                  char* y, char* which, char* two) {
  const int64_t width = c.to.width, neurons = c.to.channels;
  const auto take = [&](int64_t at, char* to) {
    kernels().transpose(c.kind, rows + c.bytes(at), length, neurons, width, to, neurons);
  };
  output_rows(c, number, [&](int64_t to, int64_t at) {
    if (!c.halved) return take(at, y + c.bytes(to));
    for (int i = 0; i < 2; i++) take(at + i * c.columns, two + c.bytes(i * width * neurons));
    kernels().pool(c.kind, two, width, neurons, y + c.bytes(to), which + c.bytes(to));
  });
}

// Their gradients, in rows.
void lay_outputs(const Convolution& c, const char* g, const char* which, int64_t number,
                 char* rows, int64_t length, char* two) {
  const int64_t width = c.to.width, neurons = c.to.channels;
  const auto lay = [&](int64_t at, const char* from) {
    kernels().transpose(c.kind, from, neurons, width, neurons, rows + c.bytes(at), length);
  };
  output_rows(c, number, [&](int64_t from, int64_t at) {
    if (!c.halved) return lay(at, g + c.bytes(from));
    kernels().spread(c.kind, g + c.bytes(from), which + c.bytes(from), width, neurons, two);
    for (int i = 0; i < 2; i++) lay(at + i * c.columns, two + c.bytes(i * width * neurons));
  });
}

Memory zeros(size_t bytes) {
  Memory made = memory(bytes);
  if (bytes) std::memset(made.get(), 0, bytes);
  return made;
}

char* at(const Memory& memory, size_t bytes = 0) {
  return static_cast<char*>(memory.get()) + bytes;
}

// Whether an array has the size of the outputs, as they are laid out.
bool is_output(const Convolution& c, Numbers size) {
  const int64_t part = c.halved ? 2 : 1;
  return size.size() == 4 && size[0] == c.to.batch && size[1] == c.to.height / part &&
         size[2] == c.to.width / part && size[3] == c.to.channels;
}

// A part of an array [batch, …] from an image on.
template <class T, class Buffer>
T* part_of(Buffer& all, const Convolution& c, int64_t image, size_t size) {
  const int64_t each = c.from.batch ? all.element_count() / c.from.batch : 0;
  return static_cast<T*>(all.untyped_data()) + image * each * size;
}

ffi::Error Forward(ffi::ThreadPool pool, Any out_ptr, Any ins, Any perm, Any values, Any bias,
                   Any x, Out y, Out which, int64_t in, int64_t tile_in, int64_t tile_out,
                   bool halved, Numbers outputs, Numbers size, int64_t front, Numbers strides,
                   Numbers pads, Numbers base, Numbers shift) {
  Convolution c{};
  const int64_t neurons = bias.element_count();
  if (const char* wrong = describe(c, x, outputs, halved, in, neurons, tile_in, tile_out, size,
                                   front, strides, pads, base, shift))
    return ffi::Error::InvalidArgument(wrong);
  Layer& l = c.layer;
  l.narrow = ins.element_type() == ffi::DataType::U8;
  if (out_ptr.element_count() != pointers(l, l.tile_out) || !is_output(c, y->dimensions()) ||
      (halved && which->element_count() != y->element_count()))
    return ffi::Error::InvalidArgument("the topology is of another layer");
  l.out_ptr = static_cast<const int32_t*>(out_ptr.untyped_data());
  l.ins = ins.untyped_data();
  l.perm = perm.untyped_data();
  l.values = values.untyped_data();
  const int64_t length = apart(c.images * c.rows * c.columns, c.block());
  c.window.y_row = length;
  const size_t each = size_of(c.kind);
  parallel_for(pool, c.groups(), [&](int64_t group) {
    const int64_t number = c.in_group(group), first = group * c.images;
    const Memory rows = zeros(c.bytes(c.window.rows * c.length));
    const Memory made = memory(c.bytes(neurons * length));
    const Memory two = memory(halved ? c.bytes(2 * c.to.width * neurons) : 0);
    lay_inputs(c, part_of<char>(x, c, first, each), number, at(rows));
    for (int64_t block = 0; block < c.blocks(number, 0); block++)
      for (int32_t tile = 0; tile < l.tiles_out; tile++)
        kernels().window_forward(c.kind, l, at(rows), bias.untyped_data(), at(made), tile,
                                 block * c.block());
    take_outputs(c, at(made), length, number, part_of<char>(*y, c, first, each),
                 part_of<char>(*which, c, first, each), at(two));
  });
  return ffi::Error::Success();
}

template <class T>
void add_to(void* to, const void* from, int64_t number) {
  for (int64_t i = 0; i < number; i++)
    static_cast<T*>(to)[i] += static_cast<const T*>(from)[i];
}

ffi::Error Backward(ffi::ThreadPool pool, Any in_ptr, Any outs, Any values, Any x, Any g,
                    Any which, Out dx, Out dw, Out db, Out parts, int64_t in, int64_t tile_in,
                    int64_t tile_out, bool halved, bool need_dx, Numbers outputs, Numbers size,
                    int64_t front, Numbers strides, Numbers pads, Numbers base, Numbers shift) {
  Convolution c{};
  const int64_t neurons = db->element_count();
  if (const char* wrong = describe(c, x, outputs, halved, in, neurons, tile_in, tile_out, size,
                                   front, strides, pads, base, shift))
    return ffi::Error::InvalidArgument(wrong);
  Layer& l = c.layer;
  l.narrow = outs.element_type() == ffi::DataType::U8;
  if (in_ptr.element_count() != pointers(l, l.tile_in) || !is_output(c, g.dimensions()) ||
      (halved && which.element_count() != g.element_count()) ||
      (need_dx && dx->element_count() != x.element_count()))
    return ffi::Error::InvalidArgument("the topology is of another layer");
  l.in_ptr = static_cast<const int32_t*>(in_ptr.untyped_data());
  l.outs = outs.untyped_data();
  l.values = values.untyped_data();
  const int64_t length = apart(c.length + c.margin, c.block());
  c.window.margin = c.margin;
  c.window.y_row = length;
  const int64_t room = dw->element_count(), groups = c.groups();
  const size_t each = size_of(c.kind), weight = c.kind == kF64 ? 8 : 4;
  const auto add = c.kind == kF64 ? add_to<double> : add_to<float>;
  const Parts sums{room, std::min<int64_t>(parts->dimensions()[0], groups), c.kind == kF64};
  const Memory biases = zeros(sums.number * neurons * weight);
  parallel_for(pool, sums.number, [&](int64_t u) {
    char* own = static_cast<char*>(parts->untyped_data()) + u * room * weight;
    const int64_t begin = groups * u / sums.number, end = groups * (u + 1) / sums.number;
    const size_t in_rows = c.bytes(c.window.rows * c.length), out_rows = c.bytes(neurons * length);
    const Memory rows = zeros(in_rows), gradients = zeros(out_rows);
    const Memory made = memory(need_dx ? in_rows : 0), bias = memory(neurons * weight);
    const Memory two = zeros(halved ? c.bytes(2 * c.to.width * neurons) : 0);
    for (int64_t group = begin; group < end; group++) {
      const int64_t number = c.in_group(group), first = group * c.images;
      if (number < c.images) {  // nothing is left of the images before
        std::memset(at(rows), 0, in_rows);
        std::memset(at(gradients), 0, out_rows);
      }
      lay_inputs(c, part_of<char>(x, c, first, each), number, at(rows));
      lay_outputs(c, part_of<char>(g, c, first, each),
                  part_of<char>(which, c, first, each), number,
                  at(gradients, c.bytes(c.margin)), length, at(two));
      for (int64_t block = 0; block < c.blocks(number, c.front); block++)
        kernels().window_backward(c.kind, l, at(rows), at(gradients), at(made), own,
                                  block * c.block(), block || group > begin);
      kernels().gate(c.kind, at(gradients), nullptr, nullptr, at(bias), length, 0, neurons);
      add(at(biases, u * neurons * weight), at(bias), neurons);
      if (need_dx) take_inputs(c, at(made), number, part_of<char>(*dx, c, first, each));
    }
  });
  add_parts(pool, sums, parts->untyped_data(), l.in_ptr[in_ptr.element_count() - 1],
            dw->untyped_data());
  std::memset(db->untyped_data(), 0, neurons * weight);
  for (int64_t u = 0; u < sums.number; u++)
    add(db->untyped_data(), at(biases, u * neurons * weight), neurons);
  return ffi::Error::Success();
}

}  // namespace

// What both are told of the images.
#define CONVOLUTION             \
  .Attr<Numbers>("outputs")     \
      .Attr<Numbers>("size")    \
      .Attr<int64_t>("front")   \
      .Attr<Numbers>("strides") \
      .Attr<Numbers>("pads")    \
      .Attr<Numbers>("base")    \
      .Attr<Numbers>("shift")

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
                                  .Ret<Any>()  // which
                                  .Attr<int64_t>("in")
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<bool>("halved") CONVOLUTION);

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchWindowBackward, Backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // in_ptr
                                  .Arg<Any>()  // outs
                                  .Arg<Any>()  // values
                                  .Arg<Any>()  // x
                                  .Arg<Any>()  // g
                                  .Arg<Any>()  // which
                                  .Ret<Any>()  // dx
                                  .Ret<Any>()  // dw
                                  .Ret<Any>()  // db
                                  .Ret<Any>()  // parts
                                  .Attr<int64_t>("in")
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<bool>("halved")
                                  .Attr<bool>("need_dx") CONVOLUTION);

}  // namespace sparse_search
