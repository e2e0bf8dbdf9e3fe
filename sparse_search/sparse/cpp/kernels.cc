// The products of one instruction set.
//
// Every weight is one fused multiply-add over a row of activations, a contiguous piece of
// the batch. A forward row gathers the rows of its inputs; a backward row of an input
// makes its gradient and those of its weights from one reading of the rows of outputs.

#include "kernels.h"

#include "simd.h"

namespace sparse_search::ISA {

template <class V, class A, bool kTail>
static INLINE V load(const A* p, bool last, int n) {
  return kTail && last ? V::load(p, n) : V::load(p);
}

template <class V, class A, bool kTail>
static INLINE void store(A* p, V v, bool last, int n) {
  if (kTail && last) {
    v.store(p, n);
  } else {
    v.store(p);
  }
}

constexpr int kSums = 16;      // of gradients, that are made from vectors at a time
constexpr int kReadings = 16;  // of a row, from which on it is copied to where it is near

#define ROWS(r) _Pragma("GCC unroll 8") for (int r = 0; r < R; r++)
#define EACH(z) _Pragma("GCC unroll 8") for (int z = 0; z < N; z++)
#define PAIRS(z) _Pragma("GCC unroll 8") for (int z = 0; z < N; z += 2)

// The columns of a block in any order, the same for all rows of a kind: of bfloat16, two
// vectors are the even and the odd ones.
template <class V, class A, int N, bool kTail>
constexpr bool kPaired = sizeof(A) < sizeof(typename V::T) && N % 2 == 0 && !kTail;

template <class V, class A, int N, bool kTail, class F>
static INLINE void read(const A* p, int n, F use) {
  if constexpr (kPaired<V, A, N, kTail>) {
    PAIRS(z) {
      V even, odd;
      V::load_pair(p + z * V::lanes, even, odd);
      use(z, even);
      use(z + 1, odd);
    }
  } else {
    EACH(z) use(z, load<V, A, kTail>(p + z * V::lanes, z == N - 1, n));
  }
}

template <class V, class A, int N, bool kTail>
static INLINE void read_to(V* a, const A* p, int n) {
  read<V, A, N, kTail>(p, n, [a](int z, V v) ALWAYS { a[z] = v; });
}

template <class V, class A, int N, bool kTail>
static INLINE void write(A* p, const V* a, int n) {
  if constexpr (kPaired<V, A, N, kTail>) {
    PAIRS(z) V::store_pair(p + z * V::lanes, a[z], a[z + 1]);
  } else {
    EACH(z) store<V, A, kTail>(p + z * V::lanes, a[z], z == N - 1, n);
  }
}

// A pointer that is in a register from here on. Rows are read at fixed distances from one
// then; left to itself, the compiler has an address for every vector.
template <class A>
static INLINE A* held(A* p) {
  asm("" : "+r"(p));
  return p;
}

// A row of a block that is multiplied with others.
template <class V, class A, int N, bool kTail>
struct Factor {
  V row[N];
  INLINE Factor(const A* p, int n) { read_to<V, A, N, kTail>(row, p, n); }
  // Calls use(z, vector z of the row at `p`) for all; returns vectors whose lanes add up to
  // the scalar product with that row.
  template <class F>
  INLINE V dot(const A* p, int n, F use) const {
    V s0 = V::zero(), s1 = V::zero();
    read<V, A, N, kTail>(p, n, [&](int z, V v) ALWAYS {
      v.hold();
      use(z, v);
      if (z & 1) {
        s1 = V::fma(row[z], v, s1);
      } else {
        s0 = V::fma(row[z], v, s0);
      }
    });
    return V::add(s0, s1);
  }
};

#if defined(__AVX512BF16__)
// Scalar products of bfloat16 in one instruction for two vectors.
template <int N>
struct Factor<F32, bf16, N, false> {
  static_assert(N % 2 == 0);
  F32::Pair row[N / 2];
  INLINE Factor(const bf16* p, int) { PAIRS(z) row[z / 2] = F32::load_raw(p + z * F32::lanes); }
  template <class F>
  INLINE F32 dot(const bf16* p, int, F use) const {
    F32 s0 = F32::zero(), s1 = F32::zero();
    PAIRS(z) {
      const F32::Pair both = F32::load_raw(p + z * F32::lanes);
      F32 even, odd;
      F32::widen_pair(both, even, odd);
      use(z, even);
      use(z + 1, odd);
      if (z & 2) {
        s1 = F32::dot(row[z / 2], both, s1);
      } else {
        s0 = F32::dot(row[z / 2], both, s0);
      }
    }
    return F32::add(s0, s1);
  }
};
#endif

// What the weights of one output do: a += Σ w x over its weights [k, stop).
template <class V, class A, int N, bool kTail, class Weight, class Row>
static INLINE void weights_into(V* a, int32_t k, int32_t stop, int n, Weight weight, Row row) {
  for (; k < stop; k++) {
    const V w = V::all(weight(k));
    read<V, A, N, kTail>(held(row(k)), n,
                         [&](int z, V x) ALWAYS { a[z] = V::fma(w, x, a[z]); });
  }
}

// What is read of one tile: rows of activations that are `row` apart, and its weights'
// values in the order of their use, if they were put into it, else null.
template <class V, class A>
struct Tile {
  int32_t number;  // of those that follow each other in a sum
  const A* rows;
  int64_t row;
  const typename V::T* values;
};

// Fetches `part` bytes from `from` on, up to `end`; returns where the next part begins. A
// tile's values are read in no order, which no machine foresees.
static INLINE const char* ahead(const char* from, const char* end, int64_t part) {
  for (const char* stop = from + part; from < stop && from < end; from += 64)
    __builtin_prefetch(from);
  return from;
}

// Sums that go on in the next tile are kept in `left`, [rows, N vectors], where activations
// have fewer bits than they are summed in.
template <class V, class A, class I, class P, int N, bool kTail>
static void forward_rows(const Layer& l, const Tile<V, A>& from, const typename V::T* bias, A* y,
                         bool relu, int32_t tile, int32_t begin, int32_t end, int64_t first,
                         int n, typename V::T* left) {
  constexpr bool kShort = sizeof(A) < sizeof(typename V::T);
  const bool final = from.number == l.tiles_in - 1;
  const int64_t at = static_cast<int64_t>(from.number) * l.tiles_out + tile;
  const int32_t* ptr = l.out_ptr + at * (l.tile_out + 1);
  const I* ins = static_cast<const I*>(l.ins);
  const P* perm = static_cast<const P*>(l.perm);
  const auto row = [&](int32_t k) ALWAYS { return from.rows + ins[k] * from.row; };
  const auto* all = static_cast<const typename V::T*>(l.values);
  const auto* values = all + ptr[0];
  const int32_t* next_ptr = ptr + (final ? 0 : l.tiles_out * (l.tile_out + 1));
  const auto* next = reinterpret_cast<const char*>(all + next_ptr[0]);
  const auto* next_end = reinterpret_cast<const char*>(all + next_ptr[final ? 0 : l.tile_out]);
  const int64_t part = (next_end - next) / (end - begin) + 1;
  for (int32_t i = begin; i < end; i++) {
    const int32_t k = ptr[i], stop = ptr[i + 1];
    next = ahead(next, next_end, part);
    if (from.number && k == stop && !(final && (relu || kShort))) continue;
    const int64_t output = static_cast<int64_t>(tile) * l.tile_out + i;
    A* yi = held(y + output * l.batch + first);
    auto* own = kShort ? left + (i - begin) * N * V::lanes : nullptr;
    V a[N];
    if (!from.number) {
      EACH(z) a[z] = V::all(bias[output]);
    } else if (kShort) {
      EACH(z) a[z] = V::load(own + z * V::lanes);
    } else {
      read_to<V, A, N, kTail>(a, yi, n);
    }
    if (from.values) {
      weights_into<V, A, N, kTail>(
          a, k, stop, n, [&](int32_t k) ALWAYS { return from.values[k - ptr[begin]]; }, row);
    } else {
      weights_into<V, A, N, kTail>(
          a, k, stop, n, [&](int32_t k) ALWAYS { return values[perm[k]]; }, row);
    }
    if (final && relu) {
      EACH(z) a[z] = V::relu(a[z]);
    }
    if (kShort && !final) {
      EACH(z) a[z].store(own + z * V::lanes);
    } else {
      write<V, A, N, kTail>(yi, a, n);
    }
  }
}

// Of a convolution. What it reads is in cache without tiles; its sums stay in registers.
template <class V, class A, class I, class P>
static void window_forward_rows(const Layer& l, const A* x, const typename V::T* bias, A* y,
                                int32_t tile, int64_t first) {
  constexpr int N = kMaxVectors;
  const I* ins = static_cast<const I*>(l.ins);
  const P* perm = static_cast<const P*>(l.perm);
  const int32_t outputs = l.out - tile * l.tile_out;
  for (int32_t i = 0; i < l.tile_out && i < outputs; i++) {
    const int64_t output = static_cast<int64_t>(tile) * l.tile_out + i;
    V a[N];
    EACH(z) a[z] = V::all(bias[output]);
    for (int32_t t = 0; t < l.tiles_in; t++) {
      const int64_t at = static_cast<int64_t>(t) * l.tiles_out + tile;
      const int32_t* ptr = l.out_ptr + at * (l.tile_out + 1);
      const auto* values = static_cast<const typename V::T*>(l.values) + ptr[0];
      const int64_t* start = l.window->start + t * l.tile_in;
      weights_into<V, A, N, false>(
          a, ptr[i], ptr[i + 1], 0, [&](int32_t k) ALWAYS { return values[perm[k]]; },
          [&](int32_t k) ALWAYS { return x + start[ins[k]] + first; });
    }
    write<V, A, N, false>(y + output * l.window->y_row + first, a, 0);
  }
}

// Gradients of weights that follow each other, as vectors whose lanes are not summed up yet.
// They are made when there are enough of them, whichever rows they are of.
template <class V>
struct Gradients {
  using T = typename V::T;
  V waiting[kSums];
  int number = 0;
  T* dw = nullptr;  // of the first that waits
  const bool add;
  explicit INLINE Gradients(bool add) : add(add) {
    for (V& one : waiting) one = V::zero();
  }
  INLINE void take(int more) { number += more; }
  INLINE void make() {
    if (number) sums(waiting, dw, number, add);
    dw += number;
    number = 0;
  }
};

// Those of weights of which only some follow each other.
template <class V>
struct Scattered {
  using T = typename V::T;
  V waiting[kSums];
  T* to[kSums];
  int number = 0;
  T* dw = nullptr;  // of the next
  const bool add;
  explicit INLINE Scattered(bool add) : add(add) {
    for (V& one : waiting) one = V::zero();
  }
  INLINE void take(int more) {
    for (; more; more--) to[number++] = dw++;
  }
  INLINE void make() {
    T made[kSums];
    if (number) sums(waiting, made, number, false);
    for (int i = 0; i < number; i++) *to[i] = add ? *to[i] + made[i] : made[i];
    number = 0;
  }
};

// What the weights of one input do backward: a += W g, dw = x gᵀ.
template <class V, class A, class I, int N, bool kTail, bool kDx, class Made>
static INLINE void weights_of(const I* outs, const typename V::T* values, int32_t k, int32_t stop,
                              const A* g, int64_t row, const Factor<V, A, N, kTail>& x, V* a,
                              Made& made, int n) {
  while (k < stop) {
    const int32_t until = stop - k < kSums - made.number ? stop : k + kSums - made.number;
    V* sum = made.waiting + made.number;
    made.take(until - k);
    for (; k < until; k++) {
      const V w = V::all(values[k]);
      *sum++ = x.dot(held(g + outs[k] * row), n, [&](int z, V v) ALWAYS {
        if (kDx) a[z] = V::fma(w, v, a[z]);
      });
    }
    if (made.number == kSums) made.make();
  }
}

// Sums are kept in `left` as in forward_rows.
template <class V, class A, class I, int N, bool kTail, bool kDx>
static void backward_rows(const Layer& l, const Tile<V, A>& from, const A* x, A* dx,
                          typename V::T* dw, typename V::T* row_sums, int32_t tile,
                          int32_t begin, int32_t end, int64_t first, int n, bool add,
                          typename V::T* left) {
  using T = typename V::T;
  const I* outs = static_cast<const I*>(l.outs);
  const T* values = static_cast<const T*>(l.values);
  constexpr bool kShort = kDx && sizeof(A) < sizeof(T);
  const bool final = from.number == l.tiles_out - 1, gate = kDx && row_sums && final;
  const int64_t at = static_cast<int64_t>(tile) * l.tiles_out + from.number;
  const int32_t* ptr = l.in_ptr + at * (l.tile_in + 1);
  Gradients<V> made(add);
  made.dw = dw + ptr[begin];
  for (int32_t j = begin; j < end; j++) {
    if (ptr[j] == ptr[j + 1] && (from.number || !kDx) && !gate && !(kShort && final)) continue;
    const int64_t input = static_cast<int64_t>(tile) * l.tile_in + j;
    const A* xi = held(x + input * l.batch + first);
    A* dxi = kDx ? held(dx + input * l.batch + first) : nullptr;
    T* own = kShort ? left + (j - begin) * N * V::lanes : nullptr;
    V a[N];
    const Factor<V, A, N, kTail> xj(xi, n);
    if (kDx && !from.number) {
      EACH(z) a[z] = V::zero();
    } else if (kShort) {
      EACH(z) a[z] = V::load(own + z * V::lanes);
    } else if (kDx) {
      read_to<V, A, N, kTail>(a, dxi, n);
    }
    weights_of<V, A, I, N, kTail, kDx>(outs, values, ptr[j], ptr[j + 1], from.rows, from.row, xj,
                                       a, made, n);
    if (gate) {
      V total = V::zero();
      read<V, A, N, kTail>(xi, n, [&](int z, V v) ALWAYS {
        a[z] = V::where_positive(v, a[z]);
        total = V::add(total, a[z]);
      });
      row_sums[input] = add ? row_sums[input] + total.sum() : total.sum();
    }
    if (kShort && !final) {
      EACH(z) a[z].store(own + z * V::lanes);
    } else if (kDx) {
      write<V, A, N, kTail>(dxi, a, n);
    }
  }
  made.make();
}

template <class V, class A, class I, bool kDx>
static void window_rows(const Layer& l, const A* x, const A* g, A* dx, typename V::T* dw,
                        int64_t first, bool add) {
  using T = typename V::T;
  constexpr int N = kMaxVectors;
  const I* outs = static_cast<const I*>(l.outs);
  const T* values = static_cast<const T*>(l.values);
  const Window& window = *l.window;
  const int64_t step = l.tile_in + 1;
  Scattered<V> made(add);
  for (int32_t row = 0; row < window.rows; row++) {
    const int64_t at = row * window.x_row + first;
    V a[N];
    const Factor<V, A, N, false> xj(x + at, 0);
    EACH(z) a[z] = V::zero();
    for (int32_t p = 0; p < window.places; p++) {
      const int32_t channel = row - window.base[p];
      if (channel < 0 || channel >= window.channels) continue;
      const int64_t j = static_cast<int64_t>(p) * window.channels + channel;
      const int32_t* ptr = l.in_ptr + window.pointer[j];
      const A* g0 = g + window.margin - window.shift[p] + first;
      for (int s = 0; s < l.tiles_out; s++, ptr += step, g0 += l.tile_out * window.y_row) {
        made.dw = dw + ptr[0];
        weights_of<V, A, I, N, false, kDx>(outs, values, ptr[0], ptr[1], g0, window.y_row, xj, a,
                                           made, 0);
      }
    }
    if (kDx) write<V, A, N, false>(dx + at, a, 0);
  }
  made.make();
}

// Chooses how many vectors a block of columns takes; only whole blocks have no mask.
template <int N, template <int, bool> class F, class... Args>
static void by_columns(int count, int lanes, Args... args) {
  if constexpr (N == kMaxVectors) {
    if (count == N * lanes) return F<N, false>::run(args..., lanes);
  }
  if constexpr (N > 0) {
    if (count > (N - 1) * lanes) {
      F<N, true>::run(args..., count - (N - 1) * lanes);
    } else {
      by_columns<N - 1, F>(count, lanes, args...);
    }
  }
}

template <class V, class A, class I, class P>
struct Typed {
  using T = typename V::T;
  template <int N, bool kTail>
  struct Forward {
    static void run(const Layer* l, const Tile<V, A>* from, const T* bias, A* y, bool relu,
                    int32_t tile, int32_t begin, int32_t end, int64_t first, T* left, int n) {
      forward_rows<V, A, I, P, N, kTail>(*l, *from, bias, y, relu, tile, begin, end, first, n,
                                         left);
    }
  };
  template <int N, bool kTail>
  struct Backward {
    static void run(const Layer* l, const Tile<V, A>* from, const A* x, A* dx, T* dw,
                    int32_t tile, int32_t begin, int32_t end, int64_t first, bool add,
                    T* row_sums, T* left, int n) {
      const auto f = dx ? backward_rows<V, A, I, N, kTail, true>
                        : backward_rows<V, A, I, N, kTail, false>;
      f(*l, *from, x, dx, dw, row_sums, tile, begin, end, first, n, add, left);
    }
  };
};

// Calls f(a tile, a block's first column, its number of columns, its place in `columns`)
// for the blocks of some columns. A block's rows are put into `room` beside each other where
// they are read often enough: in memory they are a whole batch apart, which leaves part of
// the first-level cache without use.
template <class V, class A, class F>
static INLINE void blocks_of(Tile<V, A> tile, const A* rows, int64_t batch, int32_t number,
                             int32_t weights, Columns columns, void* room, F f) {
  constexpr int kBlock = kMaxVectors * V::lanes;
  for (int32_t c = 0; c < columns.count; c += kBlock) {
    const int32_t count = columns.count - c < kBlock ? columns.count - c : kBlock;
    tile.rows = rows + columns.first + c;
    tile.row = batch;
    if (room && count == kBlock && weights >= kReadings * number) {
      A* to = static_cast<A*>(room);
      for (int32_t r = 0; r < number; r++)
        std::memcpy(to + r * kBlock, tile.rows + r * batch, kBlock * sizeof(A));
      tile.rows = to;
      tile.row = kBlock;
    }
    f(tile, columns.first + c, count, c / kBlock);
  }
}

template <class T>
static INLINE T* left_of(const Room& room, int64_t before) {
  return room.sums ? static_cast<T*>(room.sums) + before : nullptr;
}

static INLINE int32_t rest_of(int32_t size, int32_t tile, int32_t number) {
  const int32_t rest = size - number * tile;
  return rest < tile ? rest : tile;
}

template <class V, class A, class I, class P>
static void forward_typed(const Layer& l, const void* x, const void* bias, void* y, bool relu,
                          int32_t tile, int32_t begin, int32_t end, Columns c, Room room) {
  using T = typename V::T;
  if (begin == end) return;  // a part of a last tile that has fewer rows than others
  const P* perm = static_cast<const P*>(l.perm);
  constexpr int kBlock = kMaxVectors * V::lanes;
  const auto run = [&](const Tile<V, A>& from, int64_t first, int32_t count, int32_t block)
                       ALWAYS {
    by_columns<kMaxVectors, Typed<V, A, I, P>::template Forward>(
        count, V::lanes, &l, &from, static_cast<const T*>(bias), static_cast<A*>(y), relu, tile,
        begin, end, first, left_of<T>(room, block * (end - begin) * kBlock));
  };
  for (int32_t t = 0; t < l.tiles_in; t++) {
    const int64_t at = static_cast<int64_t>(t) * l.tiles_out + tile;
    const int32_t* ptr = l.out_ptr + at * (l.tile_out + 1);
    const T* values = static_cast<const T*>(l.values) + ptr[0];
    T* own = static_cast<T*>(room.values);
    for (int32_t k = ptr[begin]; own && k < ptr[end]; k++) own[k - ptr[begin]] = values[perm[k]];
    blocks_of<V, A>({t, nullptr, 0, own}, static_cast<const A*>(x) + t * l.tile_in * l.batch,
                    l.batch, rest_of(l.in, l.tile_in, t), ptr[end] - ptr[begin], c, room.rows,
                    run);
  }
}

template <class V, class A, class I, class P>
static void backward_typed(const Layer& l, const void* x, const void* g, void* dx, void* dw,
                           void* row_sums, int32_t tile, int32_t begin, int32_t end, Columns c,
                           bool add, Room room) {
  using T = typename V::T;
  constexpr int kBlock = kMaxVectors * V::lanes;
  const auto run = [&](const Tile<V, A>& from, int64_t first, int32_t count, int32_t block)
                       ALWAYS {
    by_columns<kMaxVectors, Typed<V, A, I, P>::template Backward>(
        count, V::lanes, &l, &from, static_cast<const A*>(x), static_cast<A*>(dx),
        static_cast<T*>(dw), tile, begin, end, first, add || block, static_cast<T*>(row_sums),
        left_of<T>(room, block * (end - begin) * kBlock));
  };
  for (int32_t t = 0; t < l.tiles_out; t++) {
    const int64_t at = static_cast<int64_t>(tile) * l.tiles_out + t;
    const int32_t* ptr = l.in_ptr + at * (l.tile_in + 1);
    blocks_of<V, A>({t, nullptr, 0, nullptr},
                    static_cast<const A*>(g) + t * l.tile_out * l.batch, l.batch,
                    rest_of(l.out, l.tile_out, t), ptr[end] - ptr[begin], c, room.rows, run);
  }
}

// Rows of images are filled up with zeros to whole blocks of columns.
template <class V, class A, class I, class P>
static void window_forward_typed(const Layer& l, const void* x, const void* bias, void* y,
                                 int32_t tile, int64_t first) {
  window_forward_rows<V, A, I, P>(l, static_cast<const A*>(x),
                                  static_cast<const typename V::T*>(bias), static_cast<A*>(y),
                                  tile, first);
}

template <class V, class A, class I, class P>
static void window_backward_typed(const Layer& l, const void* x, const void* g, void* dx,
                                  void* dw, int64_t first, bool add) {
  const auto f = dx ? window_rows<V, A, I, true> : window_rows<V, A, I, false>;
  f(l, static_cast<const A*>(x), static_cast<const A*>(g), static_cast<A*>(dx),
    static_cast<typename V::T*>(dw), first, add);
}

template <class V, class A>
static void gate_typed(const A* dy, const A* y, A* g, typename V::T* db, int64_t batch,
                       int32_t begin, int32_t end) {
  for (int32_t i = begin; i < end; i++) {
    const int64_t row = i * batch;
    V sum = V::zero();
    for (int64_t b = 0; b < batch; b += V::lanes) {
      const int n = batch - b < V::lanes ? batch - b : V::lanes;
      const bool last = n < V::lanes;
      V d = load<V, A, true>(dy + row + b, last, n);
      if (y) {
        d = V::where_positive(load<V, A, true>(y + row + b, last, n), d);
        store<V, A, true>(g + row + b, d, last, n);
      }
      sum = V::add(sum, d);
    }
    db[i] = sum.sum();
  }
}

constexpr int kPanel = 64;

template <class V, class A>
static void pack_typed(const A* g, int64_t batch, int32_t first, int32_t last,
                       typename V::T* panel) {
  for (int64_t b = 0; b < batch; b++)
    for (int c = 0; c < kPanel; c++)
      panel[b * kPanel + c] =
          first + c < last ? widen(g[static_cast<int64_t>(first + c) * batch + b]) : 0;
}

template <class V, class A, int R>
static void gradient_block(const A* x, int64_t batch, const typename V::T* panel,
                           typename V::T* out) {
  constexpr int N = kBeside;
  for (int c = 0; c < kPanel; c += N * V::lanes) {
    V a[R][N];
    ROWS(r) {
      EACH(z) a[r][z] = V::zero();
    }
    for (int64_t b = 0; b < batch; b++) {
      V p[N];
      EACH(z) p[z] = V::load(panel + b * kPanel + c + z * V::lanes);
      ROWS(r) {
        const V w = V::all(widen(x[r * batch + b]));
        EACH(z) a[r][z] = V::fma(w, p[z], a[r][z]);
      }
    }
    ROWS(r) {
      EACH(z) a[r][z].store(out + r * kPanel + c + z * V::lanes);
    }
  }
}

template <class V, class A>
static void gradient_typed(const A* x, int64_t batch, const typename V::T* panel, int32_t rows,
                           typename V::T* out) {
  int32_t r = 0;
  for (; r + 6 <= rows; r += 6)
    gradient_block<V, A, 6>(x + r * batch, batch, panel, out + r * kPanel);
  for (; r < rows; r++) gradient_block<V, A, 1>(x + r * batch, batch, panel, out + r * kPanel);
}

template <class V, class A>
static typename V::T dot_typed(const A* x, const A* g, int64_t batch) {
  V sum = V::zero();
  for (int64_t b = 0; b < batch; b += V::lanes) {
    const int n = batch - b < V::lanes ? batch - b : V::lanes;
    const bool last = n < V::lanes;
    sum = V::fma(load<V, A, true>(x + b, last, n), load<V, A, true>(g + b, last, n), sum);
  }
  return sum.sum();
}

template <class T>
static int32_t reaching_typed(const T* block, int32_t size, T threshold, int32_t* where) {
  int32_t found = 0, i = 0;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __m512 least = _mm512_set1_ps(threshold);
    __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (; i + 16 <= size; i += 16) {
      const __mmask16 some =
          _mm512_cmp_ps_mask(_mm512_abs_ps(_mm512_loadu_ps(block + i)), least, _CMP_GE_OQ);
      _mm512_mask_compressstoreu_epi32(where + found, some, index);
      found += __builtin_popcount(some);
      index = _mm512_add_epi32(index, _mm512_set1_epi32(16));
    }
  }
#endif
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __m256 least = _mm256_set1_ps(threshold), sign = _mm256_set1_ps(-0.0f);
    for (; i + 8 <= size; i += 8) {
      const __m256 magnitude = _mm256_andnot_ps(sign, _mm256_loadu_ps(block + i));
      unsigned some = _mm256_movemask_ps(_mm256_cmp_ps(magnitude, least, _CMP_GE_OQ));
      for (; some; some &= some - 1) where[found++] = i + __builtin_ctz(some);
    }
  }
#endif
  for (; i < size; i++)
    if (block[i] >= threshold || -block[i] >= threshold) where[found++] = i;
  return found;
}

static int32_t reaching(Kind kind, const void* block, int32_t size, double threshold,
                        int32_t* where) {
  return kind == kF64
             ? reaching_typed(static_cast<const double*>(block), size, threshold, where)
             : reaching_typed(static_cast<const float*>(block), size,
                              static_cast<float>(threshold), where);
}

static int32_t columns(Kind kind) {
  return kMaxVectors * (kind == kF64 ? F64::lanes : F32::lanes);
}

// The kinds' types: of vectors, activations, and weights.
#define BY_KIND(call)          \
  if (kind == kF32) {          \
    call(F32, float, float);   \
  } else if (kind == kF64) {   \
    call(F64, double, double); \
  } else {                     \
    call(F32, bf16, float);    \
  }

static void forward(Kind kind, const Layer& l, const void* x, const void* bias, void* y,
                    bool relu, int32_t tile, int32_t begin, int32_t end, Columns c,
                    Room room) {
#define CALL(V, A, T)                                                                   \
  const auto f = l.narrow ? forward_typed<V, A, uint8_t, uint16_t>                      \
                          : forward_typed<V, A, uint16_t, int32_t>;                     \
  f(l, x, bias, y, relu, tile, begin, end, c, room);
  BY_KIND(CALL)
#undef CALL
}

static void backward(Kind kind, const Layer& l, const void* x, const void* g, void* dx, void* dw,
                     void* row_sums, int32_t tile, int32_t begin, int32_t end, Columns c,
                     bool add, Room room) {
#define CALL(V, A, T)                                                                   \
  const auto f = l.narrow ? backward_typed<V, A, uint8_t, uint16_t>                     \
                          : backward_typed<V, A, uint16_t, int32_t>;                    \
  f(l, x, g, dx, dw, row_sums, tile, begin, end, c, add, room);
  BY_KIND(CALL)
#undef CALL
}

static void window_forward(Kind kind, const Layer& l, const void* x, const void* bias, void* y,
                           int32_t tile, int64_t first) {
#define CALL(V, A, T)                                                                   \
  const auto f = l.narrow ? window_forward_typed<V, A, uint8_t, uint16_t>               \
                          : window_forward_typed<V, A, uint16_t, int32_t>;              \
  f(l, x, bias, y, tile, first);
  BY_KIND(CALL)
#undef CALL
}

static void window_backward(Kind kind, const Layer& l, const void* x, const void* g, void* dx,
                            void* dw, int64_t first, bool add) {
#define CALL(V, A, T)                                                                   \
  const auto f = l.narrow ? window_backward_typed<V, A, uint8_t, uint16_t>              \
                          : window_backward_typed<V, A, uint16_t, int32_t>;             \
  f(l, x, g, dx, dw, first, add);
  BY_KIND(CALL)
#undef CALL
}

static void gate(Kind kind, const void* dy, const void* y, void* g, void* db, int64_t batch,
                 int32_t begin, int32_t end) {
#define CALL(V, A, T)                                                                       \
  gate_typed<V, A>(static_cast<const A*>(dy), static_cast<const A*>(y), static_cast<A*>(g), \
                   static_cast<T*>(db), batch, begin, end)
  BY_KIND(CALL)
#undef CALL
}

static void pack(Kind kind, const void* g, int64_t batch, int32_t first, int32_t last,
                 void* panel) {
#define CALL(V, A, T) \
  pack_typed<V, A>(static_cast<const A*>(g), batch, first, last, static_cast<T*>(panel))
  BY_KIND(CALL)
#undef CALL
}

static void gradient(Kind kind, const void* x, int64_t batch, const void* panel, int32_t rows,
                     void* out) {
#define CALL(V, A, T)                                                                       \
  gradient_typed<V, A>(static_cast<const A*>(x), batch, static_cast<const T*>(panel), rows, \
                       static_cast<T*>(out))
  BY_KIND(CALL)
#undef CALL
}

template <class A>
static void transpose_typed(const A* x, int64_t from, int64_t rows, int64_t columns, A* y,
                            int64_t to) {
  for (int64_t c = 0; c < columns; c += kSquare)
    for (int64_t r = 0; r < rows; r += kSquare) {
      const A* corner = x + r * from + c;
      A* other = y + c * to + r;
      const int high = rows - r < kSquare ? rows - r : kSquare;
      const int wide = columns - c < kSquare ? columns - c : kSquare;
      if (high == kSquare && wide == kSquare)
        square(corner, from, other, to);
      else
        square(corner, from, other, to, high, wide);
    }
}

static void transpose(Kind kind, const void* x, int64_t from, int64_t rows, int64_t columns,
                      void* y, int64_t to) {
#define CALL(V, A, T) \
  transpose_typed(static_cast<const A*>(x), from, rows, columns, static_cast<A*>(y), to);
  BY_KIND(CALL)
#undef CALL
}

// Calls f(the first of some channels of 2×2 places, those of their largest, whether they are
// fewer than lanes, how many) for all of two rows of an image.
template <class V, class F>
static INLINE void squares_of(int64_t width, int64_t channels, F f) {
  for (int64_t p = 0; p < width / 2; p++)
    for (int64_t c = 0; c < channels; c += V::lanes) {
      const int64_t left = channels - c;
      f(2 * p * channels + c, p * channels + c, left < V::lanes, static_cast<int>(left));
    }
}

template <class V, class A>
static void pool_typed(const A* rows, int64_t width, int64_t channels, A* y, A* which) {
  const int64_t places[] = {0, channels, width * channels, (width + 1) * channels};
  squares_of<V>(width, channels, [&](int64_t from, int64_t to, bool last, int n) ALWAYS {
    V most = load<V, A, true>(rows + from, last, n), first = V::all(1);
    for (int i = 1; i < 4; i++) {
      const V v = load<V, A, true>(rows + from + places[i], last, n);
      first = V::where_larger(v, most, V::all(i + 1), first);
      most = V::where_larger(v, most, v, most);
    }
    store<V, A, true>(y + to, V::relu(most), last, n);
    store<V, A, true>(which + to, V::where_positive(most, first), last, n);
  });
}

static void pool(Kind kind, const void* rows, int64_t width, int64_t channels, void* y,
                 void* which) {
#define CALL(V, A, T)                                                                     \
  pool_typed<V>(static_cast<const A*>(rows), width, channels, static_cast<A*>(y),         \
                static_cast<A*>(which));
  BY_KIND(CALL)
#undef CALL
}

template <class V, class A>
static void spread_typed(const A* g, const A* which, int64_t width, int64_t channels, A* rows) {
  const int64_t places[] = {0, channels, width * channels, (width + 1) * channels};
  squares_of<V>(width, channels, [&](int64_t to, int64_t from, bool last, int n) ALWAYS {
    const V v = load<V, A, true>(g + from, last, n);
    const V found = load<V, A, true>(which + from, last, n);
    for (int i = 0; i < 4; i++) {
      const V here = V::where_larger(V::all(i + 1), found, V::zero(), v);
      store<V, A, true>(rows + to + places[i],
                        V::where_larger(found, V::all(i + 1), V::zero(), here), last, n);
    }
  });
}

static void spread(Kind kind, const void* g, const void* which, int64_t width, int64_t channels,
                   void* rows) {
#define CALL(V, A, T)                                                                     \
  spread_typed<V>(static_cast<const A*>(g), static_cast<const A*>(which), width, channels, \
                  static_cast<A*>(rows));
  BY_KIND(CALL)
#undef CALL
}

static double dot(Kind kind, const void* x, const void* g, int64_t batch) {
#define CALL(V, A, T) \
  return dot_typed<V, A>(static_cast<const A*>(x), static_cast<const A*>(g), batch);
  BY_KIND(CALL)
#undef CALL
}

}  // namespace sparse_search::ISA

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

const sparse_search::Kernels& sparse_search::JOIN(ISA, _kernels)() {
  static constexpr Kernels kernels{
      ISA::columns,        ISA::transpose,       ISA::forward, ISA::gate,   ISA::backward,
      ISA::window_forward, ISA::window_backward, ISA::pool,    ISA::spread, ISA::pack,
      ISA::gradient,       ISA::dot,             ISA::reaching};
  return kernels;
}
