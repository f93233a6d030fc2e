// Gate: a latch that forces an interleaving. One thread waits at it, another one opens it.
//
//   Gate inside, go_on;
//   std::thread t([&] { callback = [&] { inside.Open(); go_on.Wait(); }; ... });
//   inside.Wait();   // the other thread is in the callback now, for certain
//   go_on.Open();
//
// A gate that nobody opens aborts the test after a minute and says which one it was: better than a
// time-out that says nothing.

#ifndef WEAKREF_TESTS_SUPPORT_GATE_H_
#define WEAKREF_TESTS_SUPPORT_GATE_H_

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace weakref::support {

class Gate {
 public:
  explicit Gate(const char* name = "unnamed") : name_(name) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  void Open() {
    // Under the lock, so that the waiter may destroy the gate at once.
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!opened_.wait_for(lock, std::chrono::minutes(1), [this] { return open_; })) {
      std::fprintf(stderr, "Gate \"%s\" was never opened\n", name_);
      std::abort();
    }
  }

  bool IsOpen() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return open_;
  }

 private:
  const char* const name_;
  mutable std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_GATE_H_
