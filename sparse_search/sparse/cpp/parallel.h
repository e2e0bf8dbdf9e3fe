// Units of work on XLA's own threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace sparse_search {

// Calls f(0), …, f(n − 1), each once, and returns when all are done.
//
// The caller works too and waits only for units that a thread has begun. To wait for the
// helpers themselves could never end: those of two calls would wait for each other's
// threads. A helper that comes late finds no unit and looks at nothing but what it shares.
inline void parallel_for(xla::ffi::ThreadPool& pool, int64_t n,
                         const std::function<void(int64_t)>& f) {
  const int64_t helpers = std::min<int64_t>(n, pool.num_threads()) - 1;
  if (helpers < 1) {
    for (int64_t i = 0; i < n; i++) f(i);
    return;
  }
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto shared = std::make_shared<Shared>();
  auto work = [n, shared, call = &f] {
    for (int64_t i; (i = shared->next.fetch_add(1)) < n;) {
      (*call)(i);
      if (shared->done.fetch_add(1) + 1 == n) {
        std::lock_guard<std::mutex> lock(shared->mutex);
        shared->all_done.notify_all();
      }
    }
  };
  for (int64_t i = 0; i < helpers; i++) pool.Schedule([work] { work(); });
  work();
  for (int spin = 0; spin < 2000 && shared->done.load() < n; spin++) {
  }
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->all_done.wait(lock, [&] { return shared->done.load() == n; });
}

}  // namespace sparse_search
