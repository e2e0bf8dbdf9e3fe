// Units of work on XLA's own threads.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace sparse_search {

constexpr int kSpins = 4000;  // before a waiting thread lets others run

// Units of work of which each phase begins when the one before it is done.
struct Phase {
  int64_t units;
  std::function<void(int64_t)> run;
};

// Runs every unit of every phase once, and returns when all are done.
//
// The caller works too and waits only for units that a thread has begun. To wait for the
// helpers themselves could never end: those of two calls would wait for each other's
// threads. A helper that comes late finds no unit and looks at nothing but what it shares.
// Helpers stay for all phases: to wake a thread takes longer than many a phase.
inline void parallel(xla::ffi::ThreadPool& pool, std::vector<Phase> phases) {
  int64_t most = 0;
  for (const Phase& phase : phases) most = std::max(most, phase.units);
  const int64_t helpers = std::min<int64_t>(most, pool.num_threads()) - 1;
  if (helpers < 1) {
    for (const Phase& phase : phases)
      for (int64_t i = 0; i < phase.units; i++) phase.run(i);
    return;
  }
  struct Count {
    std::atomic<int64_t> next{0}, done{0};
  };
  struct Shared {
    explicit Shared(std::vector<Phase> all) : phases(std::move(all)), counts(phases.size()) {}
    std::vector<Phase> phases;
    std::vector<Count> counts;
  };
  auto shared = std::make_shared<Shared>(std::move(phases));
  auto work = [shared] {
    for (size_t p = 0; p < shared->phases.size(); p++) {
      const Phase& phase = shared->phases[p];
      Count& count = shared->counts[p];
      for (int64_t i; (i = count.next.fetch_add(1)) < phase.units;) {
        phase.run(i);
        count.done.fetch_add(1, std::memory_order_release);
      }
      for (int spins = 0; count.done.load(std::memory_order_acquire) < phase.units;)
        if (++spins > kSpins) std::this_thread::yield();
    }
  };
  for (int64_t i = 0; i < helpers; i++) pool.Schedule([work] { work(); });
  work();
}

inline void parallel_for(xla::ffi::ThreadPool& pool, int64_t n,
                         const std::function<void(int64_t)>& f) {
  parallel(pool, {{n, f}});
}

}  // namespace sparse_search
