// AwaitThat(condition): returns when it holds. For states that another thread reaches by itself and
// shows, such as "has joined the load", which the cache's statistics tell.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_AWAIT_THAT_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_AWAIT_THAT_H_

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace weakref::support {

template <class Condition>
void AwaitThat(Condition&& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      std::fprintf(stderr, "AwaitThat waited in vain\n");
      std::abort();  // a hung thread could not be joined
    }
    std::this_thread::yield();
  }
}

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_AWAIT_THAT_H_
