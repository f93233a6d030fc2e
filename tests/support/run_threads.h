// RunThreads(n, f): runs f(0) ... f(n - 1) in n threads that start together, and joins them.

#ifndef WEAKREF_TESTS_SUPPORT_RUN_THREADS_H_
#define WEAKREF_TESTS_SUPPORT_RUN_THREADS_H_

#include <barrier>
#include <thread>
#include <vector>

namespace weakref::support {

template <class F>
void RunThreads(int n, F&& f) {
  std::barrier start(n);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&start, &f, i] {
      start.arrive_and_wait();
      f(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_RUN_THREADS_H_
