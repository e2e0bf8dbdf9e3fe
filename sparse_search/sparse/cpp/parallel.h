// Units of work on XLA's own threads.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace sparse_search {

constexpr int kSpins = 4000;  // before a waiting thread lets others run

// Calls f(0), …, f(units − 1), each once, and returns when all are done.
//
// The caller works too and waits only for units that a thread has begun. To wait for the
// helpers themselves could never end: those of two calls would wait for each other's
// threads. A helper that comes late finds no unit and looks at nothing but what it shares.
inline void parallel_for(xla::ffi::ThreadPool& pool, int64_t units,
                         const std::function<void(int64_t)>& f) {
  const int64_t helpers = std::min<int64_t>(units, pool.num_threads()) - 1;
  if (helpers < 1) {
    for (int64_t i = 0; i < units; i++) f(i);
    return;
  }
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto shared = std::make_shared<Shared>();
  auto work = [units, shared, call = &f] {
    for (int64_t i; (i = shared->next.fetch_add(1)) < units;) {
      (*call)(i);
      shared->done.fetch_add(1, std::memory_order_release);
    }
  };
  for (int64_t i = 0; i < helpers; i++) pool.Schedule([work] { work(); });
  work();
  for (int spins = 0; shared->done.load(std::memory_order_acquire) < units;)
    if (++spins > kSpins) std::this_thread::yield();
}

}  // namespace sparse_search
