// What a round looks at of every weight: whether it was there at the start, and a sketch of
// all positions that ever held one. See sparse/census.py, whose form in JAX is the same.

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "bijection.h"
#include "handlers.h"
#include "parallel.h"

namespace sparse_search {
namespace {

ffi::Error Census(ffi::ThreadPool pool, Any in_ptr, Any outs, Any keys, Any last, Any registers,
                  Out kept, Out largest, Out seen, int64_t in, int64_t out, int64_t tile_in,
                  int64_t tile_out, int64_t half, int64_t column_bits) {
  const Layer l = layer_of(in, out, tile_in, tile_out);
  if (in_ptr.element_count() != pointers(l, tile_in) || keys.element_count() % 2 ||
      registers.element_count() != seen->element_count())
    return ffi::Error::InvalidArgument("the topology is of another layer");
  const bool narrow = outs.element_type() == ffi::DataType::U8;
  const auto* in_ptrs = static_cast<const int32_t*>(in_ptr.untyped_data());
  const auto* words = static_cast<const uint32_t*>(keys.untyped_data());
  const Bijection order{words, static_cast<int>(keys.element_count() / 2), static_cast<int>(half),
                        static_cast<int>(column_bits)};
  const auto* bound = static_cast<const uint32_t*>(last.untyped_data());
  const uint64_t until = (static_cast<uint64_t>(bound[0]) << half) | bound[1];
  const int64_t size = registers.element_count();
  auto* sketch = static_cast<uint8_t*>(seen->untyped_data());
  std::memcpy(sketch, registers.untyped_data(), size);
  const int64_t tiles = static_cast<int64_t>(l.tiles_in) * l.tiles_out;
  const int64_t parts = std::min<int64_t>(tiles * l.tile_in, 16);
  std::mutex mutex;
  int32_t found = 0;
  uint64_t most = 0;
  parallel_for(pool, parts, [&](int64_t p) {
    std::vector<uint8_t> mine(size);
    int32_t number = 0;
    uint64_t highest = 0;
    const int64_t rows = tiles * l.tile_in;
    for (int64_t r = rows * p / parts; r < rows * (p + 1) / parts; r++) {
      const int64_t tile = r / l.tile_in, j = r % l.tile_in;
      const int32_t* ptr = in_ptrs + tile * (l.tile_in + 1) + j;
      for (int32_t k = ptr[0]; k < ptr[1]; k++) {
        const uint32_t i = narrow ? static_cast<const uint8_t*>(outs.untyped_data())[k]
                                  : static_cast<const uint16_t*>(outs.untyped_data())[k];
        const uint64_t rank =
            order.rank({static_cast<uint32_t>(tile / l.tiles_out * l.tile_in + j),
                        static_cast<uint32_t>(tile % l.tiles_out * l.tile_out + i)});
        number += rank <= until;
        highest = std::max(highest, rank);
        const uint32_t high = rank >> half, low = rank & order.word();
        const uint32_t first = Bijection::mix(Bijection::mix(low + 0x9E3779B9u) + high);
        const uint32_t second = Bijection::mix(first ^ low ^ 0x7F4A7C15u);
        const uint8_t zeros = second ? __builtin_clz(second) + 1 : 33;
        uint8_t& at = mine[first & (size - 1)];
        at = std::max(at, zeros);
      }
    }
    std::lock_guard<std::mutex> lock(mutex);
    found += number;
    most = std::max(most, highest);
    for (int64_t i = 0; i < size; i++) sketch[i] = std::max(sketch[i], mine[i]);
  });
  *static_cast<int32_t*>(kept->untyped_data()) = found;
  auto* to = static_cast<uint32_t*>(largest->untyped_data());
  to[0] = most >> half;
  to[1] = most & order.word();
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchCensus, Census,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // in_ptr
                                  .Arg<Any>()  // outs
                                  .Arg<Any>()  // keys
                                  .Arg<Any>()  // last: a rank, in two words
                                  .Arg<Any>()  // registers
                                  .Ret<Any>()  // kept: of ranks up to it
                                  .Ret<Any>()  // largest: rank
                                  .Ret<Any>()  // registers
                                  .Attr<int64_t>("in")
                                  .Attr<int64_t>("out")
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<int64_t>("half")
                                  .Attr<int64_t>("column_bits"));

}  // namespace sparse_search
