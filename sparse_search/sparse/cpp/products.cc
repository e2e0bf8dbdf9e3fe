// The handlers that XLA calls for the products of a layer with tiled weights.

#include <algorithm>
#include <cstring>

#include "handlers.h"
#include "parallel.h"

namespace sparse_search {

const Kernels& kernels() {
  static const Kernels& chosen = [] () -> const Kernels& {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
#if defined(HAS_AVX512_BF16)
      if (__builtin_cpu_supports("avx512bf16")) return avx512_bf16_kernels();
#endif
      return avx512_kernels();
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2_kernels();
#endif
    return portable_kernels();
  }();
  return chosen;
}

std::optional<Kind> kind_of(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::F32:
      return kF32;
    case ffi::DataType::F64:
      return kF64;
    case ffi::DataType::BF16:
      return kBF16;
    default:
      return std::nullopt;
  }
}

template <class T>
static void add_typed(ffi::ThreadPool& pool, const Parts& parts, const T* from, int64_t nnz,
                      T* to) {
  constexpr int64_t kWeights = 4096;
  parallel_for(pool, (parts.room + kWeights - 1) / kWeights, [&](int64_t u) {
    const int64_t begin = u * kWeights, end = std::min(parts.room, begin + kWeights);
    const int64_t last = parts.number ? std::clamp(nnz, begin, end) : begin;
    std::copy(from + begin, from + last, to + begin);
    std::fill(to + last, to + end, T(0));
    for (int64_t p = 1; p < parts.number; p++)
      for (int64_t k = begin; k < last; k++) to[k] += from[p * parts.room + k];
  });
}

void add_parts(ffi::ThreadPool& pool, const Parts& parts, const void* from, int64_t nnz,
               void* to) {
  if (parts.wide) {
    add_typed(pool, parts, static_cast<const double*>(from), nnz, static_cast<double*>(to));
  } else {
    add_typed(pool, parts, static_cast<const float*>(from), nnz, static_cast<float*>(to));
  }
}

size_t size_of(Kind kind) { return kind == kF64 ? 8 : kind == kF32 ? 4 : 2; }

namespace {

constexpr int kUnits = 16;  // of work at least, so that threads end together

// Rows [begin, end) of one tile.
struct Rows {
  int32_t tile, begin, end;
};

// How many a tile's rows are divided into: not so many that a part has too few of them
// for the rows that it reads to be read again.
int64_t parts_of(int64_t tiles, int64_t rows) {
  return std::clamp<int64_t>((kUnits + tiles - 1) / tiles, 1, std::max<int64_t>(rows / 4, 1));
}

Rows rows_of(int64_t unit, int64_t parts, int32_t size, int32_t tile) {
  const int32_t number = unit / parts, part = unit % parts;
  const int64_t rows = std::min<int64_t>(tile, size - static_cast<int64_t>(number) * tile);
  return {number, static_cast<int32_t>(rows * part / parts),
          static_cast<int32_t>(rows * (part + 1) / parts)};
}

// The memory of units of work that take some rows of a tile and sum over tiles.
class Scratch {
 public:
  // `sum` is the tile that is summed over, of which a layer has `tiles`; `weights` are those
  // that are wanted in another order.
  Scratch(Kind kind, int64_t rows, int32_t sum, int32_t tiles, int64_t batch, int64_t weights)
      : sums_(memory(kind == kBF16 && tiles > 1 ? rows * kSpan * sizeof(float) : 0)) {
    const int32_t block = kernels().columns(kind);
    if (std::min<int64_t>(batch, kSpan) <= block) return;  // nothing is shared
    values_ = memory(weights * (kind == kF64 ? sizeof(double) : sizeof(float)));
    if (sum <= kNear) rows_ = memory(sum * block * size_of(kind));
  }
  Room room() const { return {sums_.get(), values_.get(), rows_.get()}; }

 private:
  static constexpr int32_t kNear = 256;  // rows of a block that are copied at most
  Memory sums_, values_, rows_;
};

// The weights of some rows of a tile, in the tile of the other side with the most of them.
int64_t most_weights(const Layer& l, const Rows& r) {
  int32_t most = 0;
  for (int32_t t = 0; t < l.tiles_in; t++) {
    const int32_t* ptr =
        l.out_ptr + (static_cast<int64_t>(t) * l.tiles_out + r.tile) * (l.tile_out + 1);
    most = std::max(most, ptr[r.end] - ptr[r.begin]);
  }
  return most;
}

Columns columns_of(int64_t span, int64_t batch) {
  const int64_t first = span * kSpan;
  return {first, static_cast<int32_t>(std::min<int64_t>(kSpan, batch - first))};
}

ffi::Error Forward(ffi::ThreadPool pool, Any out_ptr, Any ins, Any perm, Any values, Any bias,
                   Any x, Out y, int64_t tile_in, int64_t tile_out, bool relu) {
  auto kind = kind_of(x.element_type());
  if (!kind || x.dimensions().size() != 2)
    return ffi::Error::InvalidArgument("activations must be float matrices");
  Layer l = layer_of(x.dimensions()[0], y->dimensions()[0], tile_in, tile_out);
  l.batch = x.dimensions()[1];
  l.narrow = ins.element_type() == ffi::DataType::U8;
  if (out_ptr.element_count() != pointers(l, l.tile_out) ||
      static_cast<int64_t>(bias.element_count()) != l.out)
    return ffi::Error::InvalidArgument("the topology is of another layer");
  l.out_ptr = static_cast<const int32_t*>(out_ptr.untyped_data());
  l.ins = ins.untyped_data();
  l.perm = perm.untyped_data();
  l.values = values.untyped_data();
  const int64_t spans = (l.batch + kSpan - 1) / kSpan;
  const int64_t parts = parts_of(l.tiles_out, std::min(l.out, l.tile_out));
  const int64_t units = l.tiles_out * parts;
  parallel_for(pool, units * spans, [&](int64_t u) {
    const Rows r = rows_of(u % units, parts, l.out, l.tile_out);
    const Scratch scratch(*kind, r.end - r.begin, l.tile_in, l.tiles_in, l.batch,
                          most_weights(l, r));
    kernels().forward(*kind, l, x.untyped_data(), bias.untyped_data(), y->untyped_data(), relu,
                      r.tile, r.begin, r.end, columns_of(u / units, l.batch), scratch.room());
  });
  return ffi::Error::Success();
}

// A batch as its features, or the other way round.
ffi::Error Transpose(ffi::ThreadPool pool, Any x, Out y) {
  auto kind = kind_of(x.element_type());
  if (!kind || x.dimensions().size() != 2 || x.element_count() != y->element_count())
    return ffi::Error::InvalidArgument("activations must be float matrices");
  const int64_t rows = x.dimensions()[0], columns = x.dimensions()[1];
  constexpr int64_t kColumns = 64;
  const char* from = static_cast<const char*>(x.untyped_data());
  char* to = static_cast<char*>(y->untyped_data());
  parallel_for(pool, (columns + kColumns - 1) / kColumns, [&](int64_t u) {
    const int64_t begin = u * kColumns;
    kernels().transpose(*kind, from + begin * size_of(*kind), columns, rows,
                        std::min(columns - begin, kColumns), to + begin * rows * size_of(*kind),
                        rows);
  });
  return ffi::Error::Success();
}

// The gradient of a layer's output where its ReLU lets it through, and of its bias.
ffi::Error Gate(ffi::ThreadPool pool, Any y, Any dy, Out g, Out db, bool relu) {
  auto kind = kind_of(dy.element_type());
  if (!kind || dy.dimensions().size() != 2 || y.element_count() != dy.element_count())
    return ffi::Error::InvalidArgument("activations must be float matrices");
  const int64_t rows = dy.dimensions()[0], groups = std::min<int64_t>(kUnits, rows);
  if (!relu && g->untyped_data() != dy.untyped_data())
    std::memcpy(g->untyped_data(), dy.untyped_data(), g->size_bytes());
  parallel_for(pool, groups, [&](int64_t u) {
    kernels().gate(*kind, dy.untyped_data(), relu ? y.untyped_data() : nullptr,
                   g->untyped_data(), db->untyped_data(), dy.dimensions()[1],
                   rows * u / groups, rows * (u + 1) / groups);
  });
  return ffi::Error::Success();
}

ffi::Error Backward(ffi::ThreadPool pool, Any in_ptr, Any outs, Any values, Any x, Any g, Out dx,
                    Out dw, Out sums, Out several, int64_t tile_in, int64_t tile_out, bool need_dx,
                    bool gated) {
  auto kind = kind_of(x.element_type());
  if (!kind || x.dimensions().size() != 2)
    return ffi::Error::InvalidArgument("activations must be float matrices");
  Layer l = layer_of(x.dimensions()[0], g.dimensions()[0], tile_in, tile_out);
  l.batch = x.dimensions()[1];
  l.narrow = outs.element_type() == ffi::DataType::U8;
  if (in_ptr.element_count() != pointers(l, l.tile_in))
    return ffi::Error::InvalidArgument("the topology is of another layer");
  l.in_ptr = static_cast<const int32_t*>(in_ptr.untyped_data());
  l.outs = outs.untyped_data();
  l.values = values.untyped_data();
  const int64_t nnz = l.in_ptr[in_ptr.element_count() - 1];
  const size_t weight = *kind == kF64 ? 8 : 4;
  std::memset(static_cast<char*>(dw->untyped_data()) + nnz * weight, 0,
              (dw->element_count() - nnz) * weight);
  const int64_t spans = (l.batch + kSpan - 1) / kSpan;
  const Parts segments{static_cast<int64_t>(dw->element_count()),
                       std::min<int64_t>(several->dimensions()[0], spans), *kind == kF64};
  if (segments.number > 1) {  // of a long batch, whose columns are read once
    parallel_for(pool, segments.number, [&](int64_t u) {
      char* own = static_cast<char*>(several->untyped_data()) + u * segments.room * weight;
      const int64_t begin = spans * u / segments.number;
      const int64_t end = spans * (u + 1) / segments.number;
      const Scratch scratch(*kind, std::min(l.in, l.tile_in), l.tile_out, l.tiles_out, l.batch, 0);
      for (int64_t span = begin; span < end; span++)
        for (int32_t tile = 0; tile < l.tiles_in; tile++)
          kernels().backward(*kind, l, x.untyped_data(), g.untyped_data(),
                             need_dx ? dx->untyped_data() : nullptr, own, nullptr, tile, 0,
                             std::min(l.tile_in, l.in - tile * l.tile_in),
                             columns_of(span, l.batch), span > begin, scratch.room());
    });
    add_parts(pool, segments, several->untyped_data(), nnz, dw->untyped_data());
    return ffi::Error::Success();
  }
  const int64_t parts = parts_of(l.tiles_in, std::min(l.in, l.tile_in));
  parallel_for(pool, l.tiles_in * parts, [&](int64_t u) {
    const Rows r = rows_of(u, parts, l.in, l.tile_in);
    const Scratch scratch(*kind, r.end - r.begin, l.tile_out, l.tiles_out, l.batch, 0);
    for (int64_t span = 0; span < spans; span++)
      kernels().backward(*kind, l, x.untyped_data(), g.untyped_data(),
                         need_dx ? dx->untyped_data() : nullptr, dw->untyped_data(),
                         gated ? sums->untyped_data() : nullptr, r.tile, r.begin, r.end,
                         columns_of(span, l.batch), span > 0, scratch.room());
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchForward, Forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // out_ptr
                                  .Arg<Any>()  // ins
                                  .Arg<Any>()  // perm
                                  .Arg<Any>()  // values
                                  .Arg<Any>()  // bias
                                  .Arg<Any>()  // x
                                  .Ret<Any>()  // y
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<bool>("relu"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchTranspose, Transpose,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()    // x
                                  .Ret<Any>());  // y

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchGate, Gate,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // y
                                  .Arg<Any>()  // dy
                                  .Ret<Any>()  // g
                                  .Ret<Any>()  // db
                                  .Attr<bool>("relu"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchBackward, Backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // in_ptr
                                  .Arg<Any>()  // outs
                                  .Arg<Any>()  // values
                                  .Arg<Any>()  // x
                                  .Arg<Any>()  // g
                                  .Ret<Any>()  // dx
                                  .Ret<Any>()  // dw
                                  .Ret<Any>()  // sums
                                  .Ret<Any>()  // several
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<bool>("need_dx")
                                  .Attr<bool>("gated"));

}  // namespace sparse_search

// The version of the interface that this was built for, to be compared before use.
extern "C" int SparseSearchInterface() {
  return XLA_FFI_API_MAJOR * 1000 + XLA_FFI_API_MINOR;
}
extern "C" const char* SparseSearchInstructionSet() {
  const auto& chosen = sparse_search::kernels();
#if defined(__x86_64__)
#if defined(HAS_AVX512_BF16)
  if (&chosen == &sparse_search::avx512_bf16_kernels()) return "avx512_bf16";
#endif
  if (&chosen == &sparse_search::avx512_kernels()) return "avx512";
  if (&chosen == &sparse_search::avx2_kernels()) return "avx2";
#endif
  return &chosen == &sparse_search::portable_kernels() ? "portable" : "";
}
