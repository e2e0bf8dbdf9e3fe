// Vectors of one instruction set; this file is compiled once for each of them.
//
// A vector V has V::lanes numbers of type V::T. `load` reads them from memory of the
// type of activations, which may be shorter than T (bfloat16); `n` of the masked forms
// is how many lanes are in memory, the others read as zero and are not written.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512BF16__)
#define ISA avx512_bf16
#elif defined(__AVX512F__)
#define ISA avx512
#elif defined(__AVX2__)
#define ISA avx2
#else
#define ISA portable
#endif

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
#define ALWAYS __attribute__((always_inline))

namespace sparse_search::ISA {

struct bf16 {
  uint16_t bits;
};

static INLINE float widen(bf16 x) {
  uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

static INLINE bf16 narrow(float x) {  // to the nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return {static_cast<uint16_t>((bits >> 16) | 64)};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

static INLINE float widen(float x) { return x; }
static INLINE double widen(double x) { return x; }
template <class A>
struct Narrow;
template <>
struct Narrow<float> {
  static INLINE float of(float x) { return x; }
};
template <>
struct Narrow<double> {
  static INLINE double of(double x) { return x; }
};
template <>
struct Narrow<bf16> {
  static INLINE bf16 of(float x) { return narrow(x); }
};

#if defined(__AVX512F__)

constexpr int kMaxVectors = 8;  // of a row, held in registers
constexpr int kBeside = 4;      // of six rows each

struct F32 {
  using T = float;
  static constexpr int lanes = 16;
  __m512 v;
  static INLINE F32 zero() { return {_mm512_setzero_ps()}; }
  static INLINE F32 all(float x) { return {_mm512_set1_ps(x)}; }
  static INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static INLINE F32 load(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
  }
  static INLINE F32 load(const bf16* p) {
    __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16))};
  }
  static INLINE F32 load(const bf16* p, int n) {
    uint16_t raw[16] = {};
    std::memcpy(raw, p, 2 * n);
    return load(reinterpret_cast<const bf16*>(raw));
  }
  // The numbers at even and at odd places of memory: what is shorter than a lane is widened
  // without a shuffle.
  static INLINE void load_pair(const bf16* p, F32& even, F32& odd) {
    const __m512i raw = _mm512_loadu_si512(p);
    widen_pair(raw, even, odd);
  }
  static INLINE void widen_pair(__m512i raw, F32& even, F32& odd) {
    even = {_mm512_castsi512_ps(_mm512_slli_epi32(raw, 16))};
    odd = {_mm512_castsi512_ps(_mm512_and_si512(raw, _mm512_set1_epi32(0xffff0000)))};
  }
#if defined(__AVX512BF16__)
  // Two vectors of bfloat16, as they are in memory, and what they add to a scalar product.
  using Pair = __m512i;
  static INLINE Pair load_raw(const bf16* p) { return _mm512_loadu_si512(p); }
  static INLINE F32 dot(Pair a, Pair b, F32 c) {
    return {_mm512_dpbf16_ps(c.v, (__m512bh)a, (__m512bh)b)};
  }
#endif
  static INLINE void store_pair(bf16* p, F32 even, F32 odd) {
    const __m512i low = _mm512_srli_epi32(even.rounded(), 16);
    _mm512_storeu_si512(p, _mm512_mask_mov_epi16(low, 0xaaaaaaaa, odd.rounded()));
  }
  INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  INLINE void store(float* p, int n) const {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
  }
  INLINE __m512i rounded() const {  // to the nearest, ties to even; NaN stays NaN
    __m512i x = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(up, nan, x, _mm512_set1_epi32(1 << 22));
  }
  INLINE void store(bf16* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(), 16)));
  }
  INLINE void store(bf16* p, int n) const {
    bf16 all[16];
    store(all);
    std::memcpy(p, all, 2 * n);
  }
  static INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static INLINE F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
  static INLINE F32 relu(F32 a) { return {_mm512_max_ps(_mm512_setzero_ps(), a.v)}; }
  static INLINE F32 where_positive(F32 a, F32 b) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_GT_OQ), b.v)};
  }
  // x where a > b or a is not a number, else y.
  static INLINE F32 where_larger(F32 a, F32 b, F32 x, F32 y) {
    const __mmask16 larger = _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ);
    return {_mm512_mask_mov_ps(y.v, larger | _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), x.v)};
  }
  INLINE float sum() const { return _mm512_reduce_add_ps(v); }
  INLINE void hold() { asm("" : "+v"(v)); }
};

struct F64 {
  using T = double;
  static constexpr int lanes = 8;
  __m512d v;
  static INLINE F64 zero() { return {_mm512_setzero_pd()}; }
  static INLINE F64 all(double x) { return {_mm512_set1_pd(x)}; }
  static INLINE F64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static INLINE F64 load(const double* p, int n) {
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p)};
  }
  INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
  INLINE void store(double* p, int n) const {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
  }
  static INLINE F64 fma(F64 a, F64 b, F64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
  static INLINE F64 add(F64 a, F64 b) { return {_mm512_add_pd(a.v, b.v)}; }
  static INLINE F64 relu(F64 a) { return {_mm512_max_pd(_mm512_setzero_pd(), a.v)}; }
  static INLINE F64 where_positive(F64 a, F64 b) {
    return {_mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a.v, _mm512_setzero_pd(), _CMP_GT_OQ), b.v)};
  }
  static INLINE F64 where_larger(F64 a, F64 b, F64 x, F64 y) {
    const __mmask8 larger = _mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ);
    return {_mm512_mask_mov_pd(y.v, larger | _mm512_cmp_pd_mask(a.v, a.v, _CMP_UNORD_Q), x.v)};
  }
  INLINE double sum() const { return _mm512_reduce_add_pd(v); }
  INLINE void hold() { asm("" : "+v"(v)); }
};

// The sums of `m` of 16 vectors, to or on top of `out`. A transposition by halves costs
// less than 16 reductions.
static INLINE void sums(const F32* t, float* out, int m, bool add) {
  __m512 u[8], w[4];
  for (int i = 0; i < 8; i++) {
    __m512 a = t[2 * i].v, b = t[2 * i + 1].v;
    u[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  for (int i = 0; i < 4; i++) {
    __m512d a = _mm512_castps_pd(u[2 * i]), b = _mm512_castps_pd(u[2 * i + 1]);
    w[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  __m512 x = _mm512_add_ps(_mm512_shuffle_f32x4(w[0], w[1], 0x88),
                           _mm512_shuffle_f32x4(w[0], w[1], 0xdd));
  __m512 y = _mm512_add_ps(_mm512_shuffle_f32x4(w[2], w[3], 0x88),
                           _mm512_shuffle_f32x4(w[2], w[3], 0xdd));
  const __mmask16 some = static_cast<__mmask16>((1u << m) - 1);
  __m512 made =
      _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  if (add) made = _mm512_add_ps(made, _mm512_maskz_loadu_ps(some, out));
  _mm512_mask_storeu_ps(out, some, made);
}

// y = xᵀ for a square of 16 × 16, whose rows are `from` and `to` apart. Where x has fewer
// rows or columns, nothing beyond them is read or written.
constexpr int kSquare = 16;
static INLINE void square(const float* x, int64_t from, float* y, int64_t to, int rows = 16,
                          int columns = 16) {
  const __mmask16 wide = static_cast<__mmask16>((1u << columns) - 1);
  const __mmask16 high = static_cast<__mmask16>((1u << rows) - 1);
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i++)
    a[i] = i < rows ? _mm512_maskz_loadu_ps(wide, x + i * from) : _mm512_setzero_ps();
  for (int i = 0; i < 8; i++) {
    b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
  const auto pair = [](__m512 u, __m512 v, bool high) {
    __m512d p = _mm512_castps_pd(u), q = _mm512_castps_pd(v);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(p, q) : _mm512_unpacklo_pd(p, q));
  };
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) a[4 * i + j] = pair(b[4 * i + j / 2], b[4 * i + 2 + j / 2], j & 1);
  const auto keep = [&](int j, __m512 row) {
    if (j < columns) _mm512_mask_storeu_ps(y + j * to, high, row);
  };
  // a[4 i + j] has rows 4 i … 4 i + 3 of the columns j, 4 + j, 8 + j, 12 + j.
  for (int j = 0; j < 4; j++) {
    const __m512 even0 = _mm512_shuffle_f32x4(a[j], a[4 + j], 0x88);
    const __m512 even1 = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0x88);
    const __m512 odd0 = _mm512_shuffle_f32x4(a[j], a[4 + j], 0xdd);
    const __m512 odd1 = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0xdd);
    keep(j, _mm512_shuffle_f32x4(even0, even1, 0x88));
    keep(4 + j, _mm512_shuffle_f32x4(odd0, odd1, 0x88));
    keep(8 + j, _mm512_shuffle_f32x4(even0, even1, 0xdd));
    keep(12 + j, _mm512_shuffle_f32x4(odd0, odd1, 0xdd));
  }
}

#else

// Written with the compiler's vectors: AVX2 where it is compiled for that, else what
// every machine of its kind has.
#if defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kMaxVectors = 8;
constexpr int kBeside = 2;

template <class Number>
struct Vector {
  using T = Number;
  static constexpr int lanes = kBytes / sizeof(T);
  typedef T V __attribute__((vector_size(kBytes)));
  V v;
  static INLINE Vector zero() { return {V{}}; }
  static INLINE Vector all(T x) { return {x - V{}}; }
  template <class A>
  static INLINE Vector load(const A* p) {
    Vector out;
    if constexpr (sizeof(A) == sizeof(T)) {
      std::memcpy(&out.v, p, kBytes);
    } else {
      for (int i = 0; i < lanes; i++) out.v[i] = widen(p[i]);
    }
    return out;
  }
  template <class A>
  static INLINE Vector load(const A* p, int n) {
    Vector out = zero();
    for (int i = 0; i < n; i++) out.v[i] = widen(p[i]);
    return out;
  }
  // The numbers at even and at odd places of memory.
  typedef uint32_t Bits __attribute__((vector_size(kBytes)));
  static INLINE void load_pair(const bf16* p, Vector& even, Vector& odd) {
    Bits raw;
    std::memcpy(&raw, p, kBytes);
    even.v = (V)(raw << 16);
    odd.v = (V)(raw & 0xffff0000);
  }
  static INLINE void store_pair(bf16* p, Vector even, Vector odd) {
    const Bits both = even.rounded() >> 16 | (odd.rounded() & 0xffff0000);
    std::memcpy(p, &both, kBytes);
  }
  INLINE Bits rounded() const {  // to the nearest, ties to even; NaN stays NaN
    const Bits x = (Bits)v;
    return (x & 0x7fffffff) > 0x7f800000 ? x | (1u << 22) : x + 0x7fff + (x >> 16 & 1);
  }
  template <class A>
  INLINE void store(A* p) const {
    if constexpr (sizeof(A) == sizeof(T)) {
      std::memcpy(p, &v, kBytes);
    } else {
      for (int i = 0; i < lanes; i++) p[i] = Narrow<A>::of(v[i]);
    }
  }
  template <class A>
  INLINE void store(A* p, int n) const {
    for (int i = 0; i < n; i++) p[i] = Narrow<A>::of(v[i]);
  }
  static INLINE Vector fma(Vector a, Vector b, Vector c) { return {a.v * b.v + c.v}; }
  static INLINE Vector add(Vector a, Vector b) { return {a.v + b.v}; }
  // NaN stays, as in the other sets and in jax.nn.relu.
  static INLINE Vector relu(Vector a) { return {(a.v < V{}) ? V{} : a.v}; }
  static INLINE Vector where_positive(Vector a, Vector b) {
    return {(a.v > V{}) ? b.v : V{}};
  }
  static INLINE Vector where_larger(Vector a, Vector b, Vector x, Vector y) {
    return {(a.v > b.v) | (a.v != a.v) ? x.v : y.v};
  }
  INLINE T sum() const {
    T out = v[0];
    for (int i = 1; i < lanes; i++) out += v[i];
    return out;
  }
  INLINE void hold() {
#if defined(__AVX2__)
    asm("" : "+x"(v));
#endif
  }
};
using F32 = Vector<float>;
using F64 = Vector<double>;

constexpr int kSquare = 8;

#if defined(__AVX2__)

// The sums of `m` of 16 vectors, to or on top of `out`, eight at a time.
static INLINE void sums(const F32* t, float* out, int m, bool add) {
  for (; m > 0; m -= 8, t += 8, out += 8) {
    const auto both = [t](int i) ALWAYS {  // 0 + 2 and 1 + 3 of a vector, then of the next
      const __m256 a = t[i].v, b = t[i + 1].v;
      return _mm256_add_ps(_mm256_blend_ps(a, b, 0xcc), _mm256_shuffle_ps(a, b, 0x4e));
    };
    const auto four = [both](int i) ALWAYS {  // halves of four sums
      const __m256 a = both(i), b = both(i + 2);
      return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
    };
    const __m256 low = four(0), high = four(4);
    const F32 made{_mm256_add_ps(_mm256_blend_ps(low, high, 0xf0),
                                 _mm256_permute2f128_ps(low, high, 0x21))};
    if (m >= 8) {
      (add ? F32::add(F32::load(out), made) : made).store(out);
    } else {
      (add ? F32::add(F32::load(out, m), made) : made).store(out, m);
    }
  }
}

// y = xᵀ for a square of 8 × 8, whose rows are `from` and `to` apart.
static INLINE void square(const float* x, int64_t from, float* y, int64_t to) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(x + i * from);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; j++) {
      a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0x44);
      a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0xee);
    }
  for (int j = 0; j < 4; j++) {  // a[j] has columns j and 4 + j of rows 0 … 3
    _mm256_storeu_ps(y + j * to, _mm256_permute2f128_ps(a[j], a[4 + j], 0x20));
    _mm256_storeu_ps(y + (4 + j) * to, _mm256_permute2f128_ps(a[j], a[4 + j], 0x31));
  }
}

#endif
#endif

// Of other types, and where a set has no such square with fewer rows or columns.
template <class A>
static INLINE void square(const A* x, int64_t from, A* y, int64_t to, int rows = kSquare,
                          int columns = kSquare) {
  for (int i = 0; i < columns; i++)
    for (int j = 0; j < rows; j++) y[i * to + j] = x[j * from + i];
}

template <class V>
static INLINE void sums(const V* t, typename V::T* out, int m, bool add) {
  for (int i = 0; i < m; i++) out[i] = add ? out[i] + t[i].sum() : t[i].sum();
}

}  // namespace sparse_search::ISA
