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

// Memory that will be read soon, so that it is in the second-level cache by then.
static INLINE void soon(const void* from, int64_t bytes) {
  const char* p = static_cast<const char*>(from);
  for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(p + b, 0, 2);
}

// The part of `rows` that is fetched beside row i of `of`.
static INLINE int32_t share(int64_t rows, int32_t i, int32_t of) { return rows * i / of; }

// Sums that go on in the next tile are kept in `sums_left`, [rows, N vectors], where
// activations have fewer bits than they are summed in. What a convolution reads is in cache
// without tiles; its sums stay in registers.
template <class V, class A, class I, class P, int N, bool kTail, bool kWindow>
static void forward_rows(const Layer& l, const A* x, const typename V::T* bias, A* y, bool relu,
                         int32_t tile, int32_t begin, int32_t end, int64_t first, int n,
                         typename V::T* sums_left) {
  const I* ins = static_cast<const I*>(l.ins);
  const P* perm = static_cast<const P*>(l.perm);
  const auto* values = static_cast<const typename V::T*>(l.values);
  constexpr bool kShort = sizeof(A) < sizeof(typename V::T);
  for (int t = kWindow ? l.tiles_in - 1 : 0; t < l.tiles_in; t++) {
    const bool final = t == l.tiles_in - 1;
    const bool ahead = !kWindow && !final && l.tile_in * N * V::lanes * sizeof(A) <= kAhead;
    const int64_t next = static_cast<int64_t>(t + 1) * l.tiles_out + tile;
    const int32_t* next_ptr = l.out_ptr + next * (l.tile_out + 1);
    const A* next_x = x + static_cast<int64_t>(t + 1) * l.tile_in * l.batch + first;
    const int32_t next_rows =
        l.in - (t + 1) * l.tile_in < l.tile_in ? l.in - (t + 1) * l.tile_in : l.tile_in;
    for (int32_t i = begin; i < end; i++) {
      if (ahead) {
        const int32_t at = i - begin, of = end - begin;
        for (int32_t r = share(next_rows, at, of); r < share(next_rows, at + 1, of); r++)
          soon(next_x + r * l.batch, N * V::lanes * sizeof(A));
        const int64_t number = next_ptr[l.tile_out] - next_ptr[0];
        const int32_t from = share(number, at, of);
        soon(values + next_ptr[0] + from, (share(number, at + 1, of) - from) * sizeof(*values));
      }
      A* yi = y + (static_cast<int64_t>(tile) * l.tile_out + i) *
                      (kWindow ? l.window->y_row : l.batch) + first;
      if (kWindow) yi += l.window->margin;
      auto* left =
          sums_left ? sums_left + static_cast<int64_t>(i - begin) * N * V::lanes : nullptr;
      V a[N];
      bool begun = false;
      for (int s = kWindow ? 0 : t; s <= t; s++) {
        const int64_t at = static_cast<int64_t>(s) * l.tiles_out + tile;
        const int32_t* ptr = l.out_ptr + at * (l.tile_out + 1);
        int32_t k = ptr[i], stop = ptr[i + 1];
        if (s && k == stop && !(final && (relu || kShort)) && !kWindow) continue;
        if (!begun) {
          begun = true;
          if (!s) {
            const V b = V::all(bias[tile * l.tile_out + i]);
            EACH(z) a[z] = b;
          } else if (kShort) {
            EACH(z) a[z] = V::load(left + z * V::lanes);
          } else {
            read_to<V, A, N, kTail>(a, yi, n);
          }
        }
        const A* x0 = x + static_cast<int64_t>(s) * l.tile_in * l.batch + first;
        const auto* v = values + ptr[0];
        for (; k < stop; k++) {
          const V w = V::all(v[perm[k]]);
          const A* xj = kWindow ? x + l.window->start[s * l.tile_in + ins[k]] + first
                                : x0 + static_cast<int64_t>(ins[k]) * l.batch;
          read<V, A, N, kTail>(
              xj, n, [&](int z, V v) ALWAYS { a[z] = V::fma(w, v, a[z]); });
        }
      }
      if (!begun) continue;
      if (final && relu) {
        EACH(z) a[z] = V::relu(a[z]);
      }
      if (kShort && !final) {
        EACH(z) a[z].store(left + z * V::lanes);
      } else {
        write<V, A, N, kTail>(yi, a, n);
      }
    }
  }
}

// What the weights of one input do backward: a += W g, dw = x gᵀ.
template <class V, class A, class I, int N, bool kTail, bool kDx>
static INLINE void weights_of(const I* outs, const typename V::T* values, int32_t k, int32_t stop,
                              const A* g, int64_t row, const V* xj, V* a, V* sum,
                              typename V::T* dw, int n, bool add) {
  while (k < stop) {
    const int m = stop - k < 16 ? stop - k : 16;
    for (int q = 0; q < m; q++) {
      const V w = V::all(values[k + q]);
      const A* gi = g + static_cast<int64_t>(outs[k + q]) * row;
      V s0 = V::zero(), s1 = V::zero();
      read<V, A, N, kTail>(gi, n, [&](int z, V gz) ALWAYS {
        if (kDx) a[z] = V::fma(w, gz, a[z]);
        if (z & 1) {
          s1 = V::fma(xj[z], gz, s1);
        } else {
          s0 = V::fma(xj[z], gz, s0);
        }
      });
      sum[q] = V::add(s0, s1);
    }
    sums(sum, dw + k, m, add);
    k += m;
  }
}

template <class V, class A, class I, int N, bool kTail, bool kDx>
static void backward_rows(const Layer& l, const A* x, const A* g, A* dx, typename V::T* dw,
                          typename V::T* row_sums, int32_t tile, int32_t begin, int32_t end,
                          int64_t first, int n, bool add, typename V::T* sums_left) {
  using T = typename V::T;
  const I* outs = static_cast<const I*>(l.outs);
  const T* values = static_cast<const T*>(l.values);
  constexpr bool kShort = kDx && sizeof(A) < sizeof(T);
  V sum[16];
  for (V& one : sum) one = V::zero();
  for (int t = 0; t < l.tiles_out; t++) {
    const bool final = t == l.tiles_out - 1, gate = kDx && row_sums && final;
    const int32_t* ptr =
        l.in_ptr + (static_cast<int64_t>(tile) * l.tiles_out + t) * (l.tile_in + 1);
    const A* g0 = g + static_cast<int64_t>(t) * l.tile_out * l.batch + first;
    for (int32_t j = begin; j < end; j++) {
      if (ptr[j] == ptr[j + 1] && (t || !kDx) && !gate && !(kShort && final)) continue;
      const int64_t row = (static_cast<int64_t>(tile) * l.tile_in + j) * l.batch + first;
      T* left = sums_left ? sums_left + static_cast<int64_t>(j - begin) * N * V::lanes : nullptr;
      V a[N], xj[N];
      read_to<V, A, N, kTail>(xj, x + row, n);
      if (kDx && !t) {
        EACH(z) a[z] = V::zero();
      } else if (kShort) {
        EACH(z) a[z] = V::load(left + z * V::lanes);
      } else if (kDx) {
        read_to<V, A, N, kTail>(a, dx + row, n);
      }
      weights_of<V, A, I, N, kTail, kDx>(outs, values, ptr[j], ptr[j + 1], g0, l.batch, xj, a,
                                         sum, dw, n, add);
      if (gate) {
        V total = V::zero();
        EACH(z) {
          a[z] = V::where_positive(xj[z], a[z]);
          total = V::add(total, a[z]);
        }
        T* to = row_sums + static_cast<int64_t>(tile) * l.tile_in + j;
        *to = add ? *to + total.sum() : total.sum();
      }
      if (kShort && !final) {
        EACH(z) a[z].store(left + z * V::lanes);
      } else if (kDx) {
        write<V, A, N, kTail>(dx + row, a, n);
      }
    }
  }
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
  V sum[16];
  for (V& one : sum) one = V::zero();
  for (int32_t row = 0; row < window.rows; row++) {
    const int64_t at = row * window.x_row + first;
    V a[N], xj[N];
    read_to<V, A, N, false>(xj, x + at, 0);
    EACH(z) a[z] = V::zero();
    for (int32_t p = 0; p < window.places; p++) {
      const int32_t channel = row - window.base[p];
      if (channel < 0 || channel >= window.channels) continue;
      const int64_t j = static_cast<int64_t>(p) * window.channels + channel;
      const int32_t* ptr = l.in_ptr + window.pointer[j];
      const A* g0 = g + window.margin - window.shift[p] + first;
      for (int s = 0; s < l.tiles_out; s++, ptr += step, g0 += l.tile_out * window.y_row)
        weights_of<V, A, I, N, false, kDx>(outs, values, ptr[0], ptr[1], g0, window.y_row, xj, a,
                                           sum, dw, 0, add);
    }
    if (kDx) write<V, A, N, false>(dx + at, a, 0);
  }
}

// Chooses how many vectors a block of columns takes; only whole blocks have no mask.
template <int N, template <int, bool> class F, class... Args>
static void by_columns(int count, int lanes, Args... args) {
  if constexpr (N > 0) {
    if (count > (N - 1) * lanes) {
      if (N == kMaxVectors && count == N * lanes) {
        F<N, false>::run(args..., lanes);
      } else {
        F<N, true>::run(args..., count - (N - 1) * lanes);
      }
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
    static void run(const Layer* l, const A* x, const T* bias, A* y, bool relu, int32_t tile,
                    int32_t begin, int32_t end, int64_t first, T* sums_left, int n) {
      forward_rows<V, A, I, P, N, kTail, false>(*l, x, bias, y, relu, tile, begin, end, first,
                                                n, sums_left);
    }
  };
  template <int N, bool kTail>
  struct Backward {
    static void run(const Layer* l, const A* x, const A* g, A* dx, T* dw, int32_t tile,
                    int32_t begin, int32_t end, int64_t first, bool add, T* row_sums,
                    T* sums_left, int n) {
      if (dx) {
        backward_rows<V, A, I, N, kTail, true>(*l, x, g, dx, dw, row_sums, tile, begin, end,
                                               first, n, add, sums_left);
      } else {
        backward_rows<V, A, I, N, kTail, false>(*l, x, g, dx, dw, row_sums, tile, begin, end,
                                                first, n, add, sums_left);
      }
    }
  };
};

template <class V, class A, class I, class P>
static void forward_typed(const Layer& l, const void* x, const void* bias, void* y, bool relu,
                          int32_t tile, int32_t begin, int32_t end, Columns c,
                          void* sums_left) {
  using T = typename V::T;
  by_columns<kMaxVectors, Typed<V, A, I, P>::template Forward>(
      c.count, V::lanes, &l, static_cast<const A*>(x), static_cast<const T*>(bias),
      static_cast<A*>(y), relu, tile, begin, end, c.first, static_cast<T*>(sums_left));
}

template <class V, class A, class I, class P>
static void backward_typed(const Layer& l, const void* x, const void* g, void* dx, void* dw,
                           void* row_sums, int32_t tile, int32_t begin, int32_t end, Columns c,
                           bool add, void* sums_left) {
  using T = typename V::T;
  by_columns<kMaxVectors, Typed<V, A, I, P>::template Backward>(
      c.count, V::lanes, &l, static_cast<const A*>(x), static_cast<const A*>(g),
      static_cast<A*>(dx), static_cast<T*>(dw), tile, begin, end, c.first, add,
      static_cast<T*>(row_sums), static_cast<T*>(sums_left));
}

// Rows of images are filled up with zeros to whole blocks of columns.
template <class V, class A, class I, class P>
static void window_forward_typed(const Layer& l, const void* x, const void* bias, void* y,
                                 int32_t tile, int64_t first) {
  forward_rows<V, A, I, P, kMaxVectors, false, true>(
      l, static_cast<const A*>(x), static_cast<const typename V::T*>(bias), static_cast<A*>(y),
      false, tile, 0,
      l.tile_out < l.out - tile * l.tile_out ? l.tile_out : l.out - tile * l.tile_out, first, 0,
      nullptr);
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
                    void* sums_left) {
#define CALL(V, A, T)                                                                   \
  const auto f = l.narrow ? forward_typed<V, A, uint8_t, uint16_t>                      \
                          : forward_typed<V, A, uint16_t, int32_t>;                     \
  f(l, x, bias, y, relu, tile, begin, end, c, sums_left);
  BY_KIND(CALL)
#undef CALL
}

static void backward(Kind kind, const Layer& l, const void* x, const void* g, void* dx, void* dw,
                     void* row_sums, int32_t tile, int32_t begin, int32_t end, Columns c,
                     bool add, void* sums_left) {
#define CALL(V, A, T)                                                                   \
  const auto f = l.narrow ? backward_typed<V, A, uint8_t, uint16_t>                     \
                          : backward_typed<V, A, uint16_t, int32_t>;                    \
  f(l, x, g, dx, dw, row_sums, tile, begin, end, c, add, sums_left);
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
static void transpose_typed(const A* x, int64_t rows, int64_t columns, int32_t begin,
                            int32_t end, A* y) {
  for (int64_t c = begin; c < end; c += kSquare)
    for (int64_t r = 0; r < rows; r += kSquare) {
      if (c + kSquare <= end && r + kSquare <= rows) {
        square(x + r * columns + c, columns, y + c * rows + r, rows);
        continue;
      }
      for (int64_t i = c; i < c + kSquare && i < end; i++)
        for (int64_t j = r; j < r + kSquare && j < rows; j++)
          y[i * rows + j] = x[j * columns + i];
    }
}

static void transpose(Kind kind, const void* x, int64_t rows, int64_t columns, int32_t begin,
                      int32_t end, void* y) {
#define CALL(V, A, T) \
  transpose_typed(static_cast<const A*>(x), rows, columns, begin, end, static_cast<A*>(y));
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
      ISA::columns,        ISA::transpose,       ISA::forward,  ISA::gate, ISA::backward,
      ISA::window_forward, ISA::window_backward, ISA::pack,     ISA::gradient,
      ISA::dot,            ISA::reaching};
  return kernels;
}
