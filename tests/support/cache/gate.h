// How a test forces an interleaving: one thread waits at a gate until another one opens it.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_GATE_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_GATE_H_

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace weakref::testing {

// Longer than anything that works takes, also under a sanitizer on a busy machine.
constexpr absl::Duration kPatience = absl::Seconds(60);

[[noreturn]] inline void GiveUp(const char* what) {
  std::fprintf(stderr, "%s: waited in vain\n", what);
  std::abort();  // a hung thread could not be joined
}

// Opened once, passed by any number of threads.
class Gate {
 public:
  void Open() {
    absl::MutexLock lock(&mutex_);
    open_ = true;
  }
  void Wait() {
    if (!mutex_.LockWhenWithTimeout(absl::Condition(&open_), kPatience)) GiveUp("Gate");
    mutex_.Unlock();
  }
  bool IsOpen() {
    absl::MutexLock lock(&mutex_);
    return open_;
  }

 private:
  absl::Mutex mutex_;
  bool open_ = false;
};

// Returns when `condition()` holds. For states that another thread reaches by itself, such as
// "has joined the load", which the cache's statistics tell.
template <class Condition>
void AwaitThat(Condition&& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) GiveUp("AwaitThat");
    std::this_thread::yield();
  }
}

}  // namespace weakref::testing

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_GATE_H_
