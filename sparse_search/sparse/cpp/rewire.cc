// One rewire of a layer with tiled weights: drop, grow, and build the indices anew.
//
// What is kept are the stored weights of the largest scores; what is grown are entries
// outside of those, at random or by the magnitude of their gradient x gᵀ, which is made in
// panels and looked at once. Ties are resolved by the rank of a position under a keyed
// bijection, and growth at random walks the ranks, so that the same masks come out as
// from the selections over dense arrays in masks/topk.py.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <unordered_set>
#include <vector>

#include "bijection.h"
#include "handlers.h"
#include "parallel.h"

namespace sparse_search {
namespace {

enum Growth { kRandom, kGradient, kSampledGradient };

constexpr int64_t kChunk = 1 << 14;  // ranks that a thread takes at a time
constexpr int64_t kFew = 1 << 15;    // words that are ordered without bounds from a sample
constexpr int kPanel = 64;           // columns of the gradient that are made together
constexpr int kRows = 48;            // and rows
constexpr int kAhead = 32;           // positions that are looked up together
constexpr int64_t kSampled = 1 << 16, kLeastSampled = 1 << 12;  // entries, to find a threshold

template <class T>
struct Unsigned;
template <>
struct Unsigned<float> {
  using type = uint32_t;
};
template <>
struct Unsigned<double> {
  using type = uint64_t;
};

// Unsigned integers in the order of numbers, NaN lowest and −0 = 0.
template <class T>
typename Unsigned<T>::type sortable(T x) {
  using U = typename Unsigned<T>::type;
  constexpr U sign = U{1} << (8 * sizeof(U) - 1);
  U raw;
  std::memcpy(&raw, &x, sizeof(U));
  const U infinite = sizeof(U) == 4 ? U{0x7f800000u} : static_cast<U>(0x7ff0000000000000ull);
  const U magnitude = raw & ~sign;
  const U flipped = -static_cast<U>(raw > sign);  // all bits of a negative one
  return magnitude > infinite ? 0 : sign + (magnitude ^ flipped);  // without branches
}

// The topology that is rewired, with its entries by place.
struct Topology {
  Layer l;
  int64_t nnz;

  int64_t tiles() const { return static_cast<int64_t>(l.tiles_in) * l.tiles_out; }
  const int32_t* pointers(int64_t tile) const { return l.in_ptr + tile * (l.tile_in + 1); }
  uint32_t out(int64_t place) const {
    return l.narrow ? static_cast<const uint8_t*>(l.outs)[place]
                    : static_cast<const uint16_t*>(l.outs)[place];
  }
  // Tiles are powers of two, or one is all; so no division is needed to find them.
  int shift_in, shift_out;
  void prepare() {
    const auto shift = [](int32_t tile, int32_t tiles) {
      return tiles == 1 ? 31 : 31 - __builtin_clz(static_cast<uint32_t>(tile));
    };
    shift_in = shift(l.tile_in, l.tiles_in);
    shift_out = shift(l.tile_out, l.tiles_out);
  }
  static bool fits(int32_t tile, int32_t tiles) {
    return tile > 0 && tile <= 65536 && (tiles == 1 || (tile & (tile - 1)) == 0);
  }
  int64_t tile_of(Position at) const {
    return static_cast<int64_t>(at.row >> shift_in) * l.tiles_out + (at.column >> shift_out);
  }
  uint32_t row_in_tile(Position at) const { return at.row & ((1u << shift_in) - 1); }
  uint32_t column_in_tile(Position at) const { return at.column & ((1u << shift_out) - 1); }
  const int32_t* row(Position at) const { return pointers(tile_of(at)) + row_in_tile(at); }
  void prefetch(Position at) const {
    __builtin_prefetch(static_cast<const char*>(l.outs) + *row(at) * (l.narrow ? 1 : 2));
  }
  // The place of an entry, −1 if it is not stored.
  int64_t find(Position at) const {
    const int32_t* ptr = row(at);
    const uint32_t wanted = column_in_tile(at);
    // Without branches: which half an entry is in cannot be foreseen.
    int64_t low = ptr[0], left = ptr[1] - ptr[0];
    while (left > 1) {
      const int64_t half = left / 2;
      low += out(low + half - 1) < wanted ? half : 0;
      left -= half;
    }
    return left && out(low) == wanted ? low : -1;
  }
  bool inside(Position at) const {
    return at.row < static_cast<uint32_t>(l.in) && at.column < static_cast<uint32_t>(l.out);
  }
};

// Between which words a threshold is: both are possible.
template <class U>
struct Bounds {
  U lower = 0, upper = std::numeric_limits<U>::max();
};

// Where the k-th largest of n words very likely lies, by a sample.
template <class U, class Word>
Bounds<U> bounds(const Word& word, int64_t n, int64_t k) {
  const int64_t number = std::min(n / 8, kSampled / 4);
  std::vector<U> sample(number);
  for (int64_t i = 0; i < number; i++) sample[i] = word(i * n / number);
  std::sort(sample.begin(), sample.end(), std::greater<U>());
  const double share = static_cast<double>(k) / n;
  const int64_t at = share * number, margin = 4 + 4 * std::sqrt(number * share * (1 - share));
  Bounds<U> out;
  if (at + margin < number) out.lower = sample[at + margin];
  if (at >= margin) out.upper = sample[at - margin];
  return out;
}

// Marks the k largest of n scores; equal ones by the smallest rank of their position.
template <class T, class At>
void mark_largest(ffi::ThreadPool& pool, const T* scores, int64_t n, int64_t k,
                  const Bijection& order, const At& position, std::vector<uint8_t>& chosen) {
  using U = typename Unsigned<T>::type;
  const auto word = [&](int64_t i) { return sortable(scores[i]); };
  chosen.assign(n, 0);
  if (k <= 0) return;
  if (k >= n) {
    std::fill(chosen.begin(), chosen.end(), 1);
    return;
  }
  // Between two bounds that a sample puts around the threshold there are few, of which it is
  // found; what is above is counted. Where it lies outside of them, a bound is given up.
  struct Scored {
    U word;
    int64_t at;
  };
  const int64_t parts = std::clamp<int64_t>(n / kFew, 1, 8);
  std::vector<std::vector<Scored>> within(parts);
  std::vector<int64_t> counts(parts);
  std::vector<Scored> inside;
  int64_t left = 0;
  Bounds<U> between;
  if (n >= kFew) between = bounds<U>(word, n, k);
  U &lower = between.lower, &upper = between.upper;
  while (true) {
    parallel_for(pool, parts, [&](int64_t p) {
      // Bytes may be anywhere, so that what is not local is read again for every score.
      const T* from = scores;
      uint8_t* is_above = chosen.data();
      const U least = lower, width = upper - lower, most = upper;
      const int64_t end = n * (p + 1) / parts;
      int64_t above = 0;
      std::vector<Scored> found;
      for (int64_t i = n * p / parts; i < end; i++) {
        const U w = sortable(from[i]);
        is_above[i] = w > most;
        above += w > most;
        if (w - least <= width) found.push_back({w, i});  // one branch, seldom taken
      }
      counts[p] = above;
      within[p] = std::move(found);
    });
    left = k - std::accumulate(counts.begin(), counts.end(), int64_t{0});
    inside.clear();
    for (const auto& part : within) inside.insert(inside.end(), part.begin(), part.end());
    if (left <= 0) {
      upper = std::numeric_limits<U>::max();
    } else if (left > static_cast<int64_t>(inside.size())) {
      lower = 0;
    } else {
      break;
    }
  }
  std::nth_element(inside.begin(), inside.begin() + (left - 1), inside.end(),
                   [](const Scored& a, const Scored& b) { return a.word > b.word; });
  const U threshold = inside[left - 1].word;
  int64_t taken = 0;
  std::vector<std::pair<uint64_t, int64_t>> ties;
  for (const Scored& one : inside) {
    if (one.word > threshold) {
      chosen[one.at] = 1;
      taken++;
    } else if (one.word == threshold) {
      ties.emplace_back(0, one.at);
    }
  }
  const int64_t rest = left - taken;
  if (rest < static_cast<int64_t>(ties.size())) {
    for (auto& tie : ties) tie.first = order.rank(position(tie.second));
    std::nth_element(ties.begin(), ties.begin() + rest, ties.end());
  }
  for (int64_t i = 0; i < rest; i++) chosen[ties[i].second] = 1;
}

struct Grown {
  Position at;
  int32_t source;  // its place before, −1 where it was not stored
};

// What a rewire works on.
template <class T>
struct Rewire {
  ffi::ThreadPool& pool;
  Topology old;
  std::vector<uint8_t> kept;
  Kind kind;
  const void *x, *g;  // the layer's input and the gradient of its output: [in | out, batch]

  bool stays(int64_t place) const { return place >= 0 && kept[place]; }

  // Candidates in the order of their ranks, until there are `wanted`.
  template <class Candidate>
  std::vector<Grown> walk(const Bijection& order, int64_t wanted, const Candidate& candidate) {
    std::vector<Grown> found;
    found.reserve(wanted);
    const int64_t parts = std::max<int64_t>(2 * pool.num_threads(), 1);
    const uint64_t end = order.ranks();
    std::vector<std::vector<Grown>> made(parts);
    for (uint64_t first = 0; static_cast<int64_t>(found.size()) < wanted && first < end;) {
      const uint64_t step = std::min<uint64_t>(kChunk, wanted / parts + 64);
      parallel_for(pool, parts, [&](int64_t p) {
        made[p].clear();
        const uint64_t begin = first + p * step, stop = std::min(begin + step, end);
        Position some[kAhead];
        for (uint64_t r = begin; r < stop;) {
          // Several at a time, so that the memory that they need is fetched together.
          int n = 0;
          for (; n < kAhead && r < stop; r++) {
            some[n] = order.position(r);
            n += old.inside(some[n]);
          }
          for (int i = 0; i < n; i++) __builtin_prefetch(old.row(some[i]));
          for (int i = 0; i < n; i++) old.prefetch(some[i]);
          for (int i = 0; i < n; i++) {
            const int64_t place = old.find(some[i]);
            if (!stays(place) && candidate(some[i], place))
              made[p].push_back({some[i], static_cast<int32_t>(place)});
          }
        }
      });
      for (const auto& part : made)
        for (const Grown& one : part)
          if (static_cast<int64_t>(found.size()) < wanted) found.push_back(one);
      if (end - first <= parts * step) break;
      first += parts * step;
    }
    return found;
  }

  const void* row_of(const void* factor, int64_t row) const {
    return static_cast<const char*>(factor) + row * old.l.batch * size_of(kind);
  }

  T score(Position at) const {
    return std::abs(kernels().dot(kind, row_of(x, at.row), row_of(g, at.column), old.l.batch));
  }

  struct Candidates {
    std::vector<Grown> entries;
    std::vector<T> scores;
  };

  // All entries that do not stay and whose gradient's magnitude is at least (or, of 0,
  // above) a threshold.
  Candidates reaching(T threshold) {
    const Layer& l = old.l;
    const int64_t panels = (l.out + kPanel - 1) / kPanel;
    std::vector<Candidates> found(panels);
    // What has no gradient never reaches the least number that is not flushed to zero.
    const T least = std::max(threshold, std::numeric_limits<T>::min());
    parallel_for(pool, panels, [&](int64_t p) {
      std::vector<T> panel(l.batch * kPanel), block(kRows * kPanel);
      std::vector<int32_t> where(kRows * kPanel + 16);
      const int32_t first = p * kPanel, last = std::min<int32_t>(l.out, first + kPanel);
      kernels().pack(kind, g, l.batch, first, last, panel.data());
      for (int32_t row = 0; row < l.in; row += kRows) {
        const int32_t rows = std::min(kRows, l.in - row);
        kernels().gradient(kind, row_of(x, row), l.batch, panel.data(), rows, block.data());
        const int32_t n =
            kernels().reaching(kind, block.data(), rows * kPanel, least, where.data());
        for (int32_t i = 0; i < n; i++) {
          const Position at{static_cast<uint32_t>(row + where[i] / kPanel),
                            static_cast<uint32_t>(first + where[i] % kPanel)};
          if (!old.inside(at)) continue;  // the last panel may be wider than the layer
          const int64_t place = old.find(at);
          if (stays(place)) continue;
          found[p].entries.push_back({at, static_cast<int32_t>(place)});
          found[p].scores.push_back(std::abs(block[where[i]]));
        }
      }
    });
    Candidates all;
    for (Candidates& part : found) {
      all.entries.insert(all.entries.end(), part.entries.begin(), part.entries.end());
      all.scores.insert(all.scores.end(), part.scores.begin(), part.scores.end());
      part = {};
    }
    return all;
  }

  // Magnitudes of the gradient in some rows and columns, of what does not stay.
  std::vector<T> sample(const Bijection& order) {
    const Layer& l = old.l;
    const size_t width = size_of(kind) * l.batch;
    // Positions of the first ranks are random, and so are their rows and columns. As many
    // of one as of the other, since a whole row's gradient may be larger than others'.
    const int64_t size = static_cast<int64_t>(l.in) * l.out;
    const size_t most = std::sqrt(std::clamp(size / 32, kLeastSampled, kSampled));
    std::vector<uint32_t> rows, columns;
    for (uint64_t r = 0; r < order.ranks() && rows.size() < most; r++) {
      const Position at = order.position(r);
      if (!old.inside(at)) continue;
      rows.push_back(at.row);
      columns.push_back(at.column);
    }
    const int64_t number = rows.size();
    std::vector<char> x_rows(number * width), g_rows(number * width);
    for (int64_t i = 0; i < number; i++) {
      std::memcpy(x_rows.data() + i * width, row_of(x, rows[i]), width);
      std::memcpy(g_rows.data() + i * width, row_of(g, columns[i]), width);
    }
    std::vector<T> out(number * number);
    parallel_for(pool, (number + kPanel - 1) / kPanel, [&](int64_t p) {
      const int64_t first = p * kPanel, last = std::min(number, first + kPanel);
      std::vector<T> panel(l.batch * kPanel), block(number * kPanel);
      kernels().pack(kind, g_rows.data(), l.batch, first, last, panel.data());
      kernels().gradient(kind, x_rows.data(), l.batch, panel.data(), number, block.data());
      for (int64_t c = first; c < last; c++)
        for (int64_t i = 0; i < number; i++) {
          const T s = std::abs(block[i * kPanel + c - first]);
          const bool taken = stays(old.find({rows[i], columns[c]}));
          out[c * number + i] = taken ? -1 : s > 0 ? s : 0;
        }
    });
    out.erase(std::remove(out.begin(), out.end(), T(-1)), out.end());
    return out;
  }

  std::vector<Grown> steepest(const Bijection& order, int64_t wanted) {
    if (wanted <= 0) return {};
    const double size = static_cast<double>(old.l.in) * old.l.out;
    const double kept_number = std::count(kept.begin(), kept.end(), 1);
    std::vector<T> seen = sample(order);
    const double n = seen.size();
    // More than is wanted, since the sample's threshold is not exact: to look at too many is
    // cheap, to look at all of them again is not.
    double share = 1.4 * wanted / std::max(size - kept_number, 1.0) + 16 / std::max(n, 1.0);
    while (true) {
      T least = 0;
      if (const size_t k = share * n; k < seen.size()) {
        std::nth_element(seen.begin(), seen.begin() + k, seen.end(), std::greater<T>());
        least = seen[k];
      }
      Candidates found = reaching(least);
      const int64_t number = found.entries.size();
      if (number < wanted && least > 0) {
        share *= 2;
        continue;
      }
      std::vector<uint8_t> chosen;
      mark_largest(pool, found.scores.data(), number, wanted, order,
                   [&](int64_t i) { return found.entries[i].at; }, chosen);
      std::vector<Grown> grown;
      grown.reserve(wanted);
      for (int64_t i = 0; i < number; i++)
        if (chosen[i]) grown.push_back(found.entries[i]);
      // All others have no gradient: the smallest ranks of those.
      add_random(order, wanted, grown);
      return grown;
    }
  }

  // Grows more, at random, until there are as many as wanted.
  void add_random(const Bijection& order, int64_t wanted, std::vector<Grown>& grown) {
    const int64_t missing = wanted - static_cast<int64_t>(grown.size());
    if (missing <= 0) return;
    const auto flat = [](Position at) {
      return (static_cast<uint64_t>(at.row) << 32) | at.column;
    };
    std::unordered_set<uint64_t> taken;
    for (const Grown& one : grown) taken.insert(flat(one.at));
    const auto more = walk(
        order, missing, [&](Position at, int64_t) { return !taken.count(flat(at)); });
    grown.insert(grown.end(), more.begin(), more.end());
  }

  // The steepest of `number` entries that were not stored, drawn at random.
  std::vector<Grown> steepest_drawn(const Bijection& draw, const Bijection& order,
                                    int64_t number, int64_t wanted) {
    const auto drawn =
        walk(draw, number, [&](Position, int64_t place) { return place < 0; });
    const int64_t n = drawn.size();
    std::vector<T> scores(n);
    const int64_t parts = 32;
    parallel_for(pool, parts, [&](int64_t p) {
      for (int64_t i = n * p / parts; i < n * (p + 1) / parts; i++)
        scores[i] = score(drawn[i].at);
    });
    std::vector<uint8_t> chosen;
    mark_largest(pool, scores.data(), n, wanted, order,
                 [&](int64_t i) { return drawn[i].at; }, chosen);
    std::vector<Grown> grown;
    for (int64_t i = 0; i < n; i++)
      if (chosen[i]) grown.push_back(drawn[i]);
    add_random(order, wanted, grown);
    return grown;
  }
};

// Where the indices of the new topology go.
struct Built {
  int32_t* in_ptr;
  void* outs;
  int32_t* out_ptr;
  void *ins, *perm;
  int32_t* source;
};

struct Entry {
  uint32_t place;  // in its tile: the row in the upper half, the column in the lower
  int32_t source;
};

// By rows first, of which most have few: twice as fast as comparing them all.
void sort_by_place(Entry* begin, Entry* end, const Layer& l) {
  const auto less = [](Entry a, Entry b) { return a.place < b.place; };
  if (end - begin < l.tile_in / 4) {
    std::sort(begin, end, less);
    return;
  }
  std::vector<int32_t> stop(l.tile_in + 1);
  for (const Entry* e = begin; e < end; e++) stop[(e->place >> 16) + 1]++;
  for (int32_t j = 0; j < l.tile_in; j++) stop[j + 1] += stop[j];
  const std::vector<Entry> entries(begin, end);
  for (const Entry& e : entries) begin[stop[e.place >> 16]++] = e;
  for (int32_t j = 0, start = 0; j < l.tile_in; start = stop[j++])
    std::sort(begin + start, begin + stop[j], less);
}

template <class I, class P, class T>
void build(Rewire<T>& work, const std::vector<Grown>& grown, int64_t capacity, Built to) {
  const Topology& old = work.old;
  const Layer& l = old.l;
  const int64_t tiles = old.tiles();
  std::vector<int64_t> first(tiles + 1), begin(tiles + 1);
  for (const Grown& one : grown) first[old.tile_of(one.at) + 1]++;
  for (int64_t t = 0; t < tiles; t++) first[t + 1] += first[t];
  std::vector<Entry> sorted(grown.size());
  {
    std::vector<int64_t> next(first.begin(), first.end() - 1);
    for (const Grown& one : grown)
      sorted[next[old.tile_of(one.at)]++] = {
          old.row_in_tile(one.at) << 16 | old.column_in_tile(one.at), one.source};
  }
  std::vector<int64_t> counts(tiles);
  parallel_for(work.pool, tiles, [&](int64_t t) {
    const int32_t* ptr = old.pointers(t);
    const uint8_t* kept = work.kept.data();
    counts[t] = first[t + 1] - first[t];
    counts[t] += std::count(kept + ptr[0], kept + ptr[l.tile_in], 1);
  });
  for (int64_t t = 0; t < tiles; t++) begin[t + 1] = begin[t] + counts[t];
  I *outs = static_cast<I*>(to.outs), *ins = static_cast<I*>(to.ins);
  P* perm = static_cast<P*>(to.perm);
  parallel_for(work.pool, tiles, [&](int64_t t) {
    const Entry *more = sorted.data() + first[t], *const end = sorted.data() + first[t + 1];
    sort_by_place(sorted.data() + first[t], sorted.data() + first[t + 1], l);
    // Local, since bytes that are written may be anywhere.
    const uint8_t* kept = work.kept.data();
    const I* old_outs = static_cast<const I*>(l.outs);
    const int32_t *ptr = old.pointers(t), rows = l.tile_in, columns = l.tile_out;
    int32_t* in_ptr = to.in_ptr + t * (rows + 1);
    int32_t* out_ptr = to.out_ptr + t * (columns + 1);
    I *new_outs = outs, *new_ins = ins;
    P* new_perm = perm;
    int32_t *source = to.source, at = begin[t];
    std::vector<int32_t> counted(columns + 1);
    int32_t* number = counted.data();
    const auto put = [&](uint32_t out, int32_t from) {
      new_outs[at] = out;
      source[at++] = from;
      number[out]++;
    };
    for (int32_t j = 0; j < rows; j++) {
      in_ptr[j] = at;
      const uint32_t row = static_cast<uint32_t>(j) << 16;
      const int32_t stop = ptr[j + 1];
      for (int32_t k = ptr[j];;) {
        while (k < stop && !kept[k]) k++;
        // Those of this row that come before the next kept one, or all that are left.
        const uint32_t next = k < stop ? row + old_outs[k] : row + 0xffff;
        for (; more < end && more->place <= next; more++) put(more->place & 0xffff, more->source);
        if (k == stop) break;
        put(old_outs[k], k);
        k++;
      }
    }
    in_ptr[rows] = at;
    int32_t sum = begin[t];
    for (int32_t i = 0; i <= columns; i++) {
      out_ptr[i] = sum;
      sum += number[i];
      number[i] = out_ptr[i];
    }
    const int32_t base = begin[t];
    for (int32_t j = 0; j < rows; j++)
      for (int32_t k = in_ptr[j], stop = in_ptr[j + 1]; k < stop; k++) {
        const int32_t place = number[new_outs[k]]++;
        new_ins[place] = j;
        new_perm[place] = k - base;
      }
  });
  const int64_t nnz = begin[tiles];
  std::fill(outs + nnz, outs + capacity, 0);
  std::fill(ins + nnz, ins + capacity, 0);
  std::fill(perm + nnz, perm + capacity, 0);
  std::fill(to.source + nnz, to.source + capacity, -1);
}

template <class T>
ffi::Error rewire_typed(ffi::ThreadPool& pool, Topology old, const void* keep, int64_t kept,
                        int64_t count, int64_t number, const uint32_t* keys, int pairs, int half,
                        int column_bits, Kind kind, const void* x, const void* g, int64_t growth,
                        int64_t capacity, Built to, int32_t* info) {
  const auto order = [&](int i) {
    return Bijection{keys + 2 * pairs * i, pairs, half, column_bits};
  };
  Rewire<T> work{pool, old, {}, kind, x, g};
  const T* scores = static_cast<const T*>(keep);
  // The row of a place is found among all pointers, which only ties need.
  const auto position = [&](int64_t place) {
    const int64_t rows = old.tiles() * (old.l.tile_in + 1);
    int64_t i = std::upper_bound(old.l.in_ptr, old.l.in_ptr + rows, place) - old.l.in_ptr - 1;
    const int64_t tile = i / (old.l.tile_in + 1), j = i % (old.l.tile_in + 1);
    return Position{
        static_cast<uint32_t>(tile / old.l.tiles_out * old.l.tile_in + j),
        static_cast<uint32_t>(tile % old.l.tiles_out * old.l.tile_out + old.out(place))};
  };
  kept = std::clamp<int64_t>(kept, 0, old.nnz);
  mark_largest(pool, scores, old.nnz, kept, order(0), position, work.kept);
  const double size = static_cast<double>(old.l.in) * old.l.out;
  count = std::min<double>(std::min(count, capacity), size);
  const int64_t missing = std::max<int64_t>(count - kept, 0);
  std::vector<Grown> grown;
  if (growth == kRandom) {
    grown = work.walk(order(1), missing, [](Position, int64_t) { return true; });
  } else if (growth == kGradient) {
    grown = work.steepest(order(1), missing);
  } else {
    grown = work.steepest_drawn(order(2), order(1), number, missing);
  }
  int64_t back = 0;
  for (const Grown& one : grown) back += one.source >= 0;
  info[0] = old.nnz - kept - back;
  info[1] = grown.size() - back;
  if (old.l.narrow) {
    build<uint8_t, uint16_t>(work, grown, capacity, to);
  } else {
    build<uint16_t, int32_t>(work, grown, capacity, to);
  }
  return ffi::Error::Success();
}

ffi::Error Rewiring(ffi::ThreadPool pool, Any in_ptr, Any outs, Any keep, Any numbers, Any keys,
                    Any x, Any g, Out new_in_ptr, Out new_outs, Out out_ptr, Out ins, Out perm,
                    Out source, Out info, int64_t in, int64_t out, int64_t tile_in,
                    int64_t tile_out, int64_t half, int64_t column_bits, int64_t growth) {
  Topology old{layer_of(in, out, tile_in, tile_out), 0, 0, 0};
  old.prepare();
  Layer& l = old.l;
  l.narrow = outs.element_type() == ffi::DataType::U8;
  l.in_ptr = static_cast<const int32_t*>(in_ptr.untyped_data());
  l.outs = outs.untyped_data();
  const bool of_layer = Topology::fits(tile_in, l.tiles_in) &&
                        Topology::fits(tile_out, l.tiles_out) &&
                        in_ptr.element_count() == pointers(l, l.tile_in) &&
                        out_ptr->element_count() == pointers(l, l.tile_out) &&
                        keep.element_count() == outs.element_count() &&
                        numbers.element_count() == 3 && keys.element_count() % 6 == 0;
  if (!of_layer) return ffi::Error::InvalidArgument("the topology is of another layer");
  old.nnz = l.in_ptr[in_ptr.element_count() - 1];
  auto kind = kind_of(x.element_type());
  if (growth != kRandom) {
    if (!kind || x.dimensions().size() != 2 || x.dimensions()[0] != in ||
        g.dimensions()[0] != out || g.dimensions()[1] != x.dimensions()[1])
      return ffi::Error::InvalidArgument("the gradient's factors are of another layer");
    l.batch = x.dimensions()[1];
  }
  const int32_t* n = static_cast<const int32_t*>(numbers.untyped_data());
  const Built to{static_cast<int32_t*>(new_in_ptr->untyped_data()),
                 new_outs->untyped_data(),
                 static_cast<int32_t*>(out_ptr->untyped_data()),
                 ins->untyped_data(),
                 perm->untyped_data(),
                 static_cast<int32_t*>(source->untyped_data())};
  const auto call = keep.element_type() == ffi::DataType::F64 ? rewire_typed<double>
                                                              : rewire_typed<float>;
  return call(pool, old, keep.untyped_data(), n[0], n[1], n[2],
              static_cast<const uint32_t*>(keys.untyped_data()), keys.element_count() / 6, half,
              column_bits, kind.value_or(kF32), x.untyped_data(), g.untyped_data(), growth,
              new_outs->element_count(), to, static_cast<int32_t*>(info->untyped_data()));
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(SparseSearchRewire, Rewiring,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Any>()  // in_ptr
                                  .Arg<Any>()  // outs
                                  .Arg<Any>()  // keep: a score of every stored weight
                                  .Arg<Any>()  // numbers: kept, count, drawn
                                  .Arg<Any>()  // keys: of three bijections
                                  .Arg<Any>()  // x
                                  .Arg<Any>()  // g
                                  .Ret<Any>()  // in_ptr
                                  .Ret<Any>()  // outs
                                  .Ret<Any>()  // out_ptr
                                  .Ret<Any>()  // ins
                                  .Ret<Any>()  // perm
                                  .Ret<Any>()  // source
                                  .Ret<Any>()  // info: dropped, grown
                                  .Attr<int64_t>("in")
                                  .Attr<int64_t>("out")
                                  .Attr<int64_t>("tile_in")
                                  .Attr<int64_t>("tile_out")
                                  .Attr<int64_t>("half")
                                  .Attr<int64_t>("column_bits")
                                  .Attr<int64_t>("growth"));

}  // namespace sparse_search
